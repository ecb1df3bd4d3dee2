"""The jobs: flags to graph to run."""

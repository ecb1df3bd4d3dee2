"""One training run: strategy, loop, checkpoints, export."""

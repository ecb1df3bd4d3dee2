"""The jobs: flags to graph to run."""

import logging

# Beam says at import that Google Cloud's clients are absent, on the root logger.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())

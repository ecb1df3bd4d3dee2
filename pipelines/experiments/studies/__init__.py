"""Studies: a grid of training runs, its protocol, and the report on it (docs/study.md)."""

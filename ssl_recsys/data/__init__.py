"""Datasets as the model sees them: catalog, pairs, batches, statistics."""

"""From embeddings and pairs to ranks, metrics and tables."""

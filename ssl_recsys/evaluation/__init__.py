"""From embeddings and pairs to ranks, metrics and tables."""

# Names of the simple recommenders, keys of `simple_settings.KINDS`.
SIMPLE_MODELS = ("co_occurrence", "tfidf", "content_knn", "als")

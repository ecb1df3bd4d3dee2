"""From embeddings and pairs to ranks, metrics and tables."""

# The simple recommender that needs an optional extra, and what to say without it.
HYBRID = "hybrid"
HYBRID_REMEDY = "pip install 'ssl-recsys[hybrid]'"
HYBRID_MISSING = f"lightfm is not installed: {HYBRID_REMEDY}"

# Names of the simple recommenders, keys of `simple_settings.KINDS`: for queries that are items, and
# for those that are users.
SIMPLE_MODELS = ("co_occurrence", "tfidf", "content_knn", "als")
USER_MODELS = ("item_knn", "profile", "user_als", "bpr", "ease", HYBRID)

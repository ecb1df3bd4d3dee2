"""Search of the whole corpus, exact or by ScaNN, behind one interface."""

EXACT, SCANN = RETRIEVALS = ("exact", "scann")

# What a ScaNN index keeps of an item to score it again.
FLOAT32, BFLOAT16, INT8 = REORDER_DTYPES = ("float32", "bfloat16", "int8")

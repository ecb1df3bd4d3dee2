"""Search of the whole corpus, exact or by ScaNN, behind one interface."""

EXACT, SCANN = RETRIEVALS = ("exact", "scann")

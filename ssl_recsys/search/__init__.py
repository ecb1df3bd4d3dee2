"""Search of the whole corpus, exact or by ScaNN, behind one interface."""

"""From the columns of an item table to encoded features: rules, words, and both in a graph."""

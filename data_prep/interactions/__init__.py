"""Interactions: from a log of users and items to queries that are users or their histories."""

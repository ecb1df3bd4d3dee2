"""The two-tower model: look-up, views, towers, losses and tasks."""

"""Experiments: training runs in processes of their own, searches and studies."""

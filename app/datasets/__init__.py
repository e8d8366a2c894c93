"""Datasets over time: their versions, what changed from one to the next, and where each came from."""

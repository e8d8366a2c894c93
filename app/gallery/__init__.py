"""The gallery of a dataset: any filter, counts and any order over a million images. Its columns are derived, and may be dropped."""

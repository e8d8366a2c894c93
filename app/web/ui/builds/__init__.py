"""The form of a new build: its fields, what is read from them, the list that comes with it, and the same build for a terminal."""

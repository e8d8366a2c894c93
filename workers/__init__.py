"""The job functions, the mechanism they share, and the arq workers that run them."""

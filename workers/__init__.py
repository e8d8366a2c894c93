"""The 12 jobs, the mechanism they share, and the arq workers that run them."""

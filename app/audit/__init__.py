"""The compliance audit: rules that the sources keep, and what one run of the pipeline measures against the success metrics.

Reads the project's own five packages as they are installed, so it works from a wheel too. Knows no command; ``pictrawl audit`` shows it.
"""

__all__: list[str] = []

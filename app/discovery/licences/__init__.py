"""Licences: what statements of them mean, what an id permits, which of them a build takes, and the gate that decides about an image."""

from app.discovery.licences.reading import (
    PUBLIC_DOMAIN,
    RESERVED,
    SEPARATOR,
    contradiction,
    normalise,
    settle,
    stated_ids,
    stated_terms,
    url_of,
)

__all__ = ["PUBLIC_DOMAIN", "RESERVED", "SEPARATOR", "contradiction", "normalise", "settle", "stated_ids", "stated_terms", "url_of"]

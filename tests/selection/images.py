"""Images for the tests of selections."""

from typing import Any

from app.domain import ImageState, StoredImage

__all__ = ["stored"]


def stored(**columns: Any) -> StoredImage:
    """A kept image; what is not given is not known."""
    given = {"id": 1, "dataset_id": "ds", "job_id": "job", "chunk_id": None, "url": "", "source": "list", "state": ImageState.KEPT}
    return StoredImage(**given | columns)

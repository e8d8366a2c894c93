"""What a report says of a rebuild: which images are altered, which are missing, and of which the form differs from the lock's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import encoders
from app.db import Database, locked_images
from app.db.rows import Job
from app.domain import ImageState, Reason, StoredImage
from app.formatting import clipped, count, number

__all__ = ["Rebuilt", "load_rebuilt"]

NAMED = 1_000
"""Images that the document names; `pictrawl images ls` has all of them."""

SHOWN = 5
"""Images of each kind in the summary."""

URL_CHARS = 200


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The first images that are not as the lock has them.

    Attributes:
        images: how many the lock has.
        libraries: those that differ from the lock's, in words; forms that only an export makes are not in the lock, and not compared.
    """

    digest: str
    version: str
    images: int
    unlike: Sequence[StoredImage]
    libraries: str = ""

    @property
    def changed(self) -> list[StoredImage]:
        """Their origin has other bytes now."""
        return [image for image in self.unlike if image.state is not ImageState.KEPT and image.reason is Reason.CHANGED]

    @property
    def missing(self) -> list[StoredImage]:
        """They could not be fetched, or may not be here."""
        return [image for image in self.unlike if image.state is not ImageState.KEPT and image.reason is not Reason.CHANGED]

    @property
    def other_forms(self) -> list[StoredImage]:
        """They are kept, and exported with other bytes."""
        return [image for image in self.unlike if image.state is ImageState.KEPT]

    def document(self) -> dict[str, Any]:
        """The part of the document of ``--json``."""
        return {
            "lock": self.digest,
            "version": self.version,
            "images": self.images,
            "libraries": self.libraries or None,
            "changed": [_named(image) for image in self.changed],
            "missing": [_named(image) for image in self.missing],
            "other_forms": [_named(image) for image in self.other_forms],
        }

    def rows(self) -> list[tuple[str, str]]:
        """The rows of the summary."""
        kinds = {"changed": self.changed, "missing": self.missing, "other form": self.other_forms}
        return [
            ("lock", f"version {self.version}, {count(self.images, 'image')}, sha256 {self.digest}"),
            ("libraries", self.libraries),
            *(row for name, found in kinds.items() for row in _shown(name, found)),
        ]


def _named(image: StoredImage) -> Mapping[str, Any]:
    reason = image.reason.value if image.reason else image.state.value
    return {"image_id": image.id, "url": image.url, "reason": reason, "detail": image.detail, "evidence": image.evidence}


def _shown(name: str, found: Sequence[StoredImage]) -> list[tuple[str, str]]:
    lines = [f"{clipped(image.url, URL_CHARS)}  {_why(image)}" for image in found[:SHOWN]]
    lines += [f"and {number(len(found) - SHOWN)} more, see --json"] if len(found) > SHOWN else []
    return [(name if at == 0 else "", line) for at, line in enumerate(lines)]


def _why(image: StoredImage) -> str:
    if image.state is ImageState.KEPT:
        return clipped(image.evidence or "", 200)
    return clipped(image.evidence or "", 200) if image.reason is Reason.CHANGED else (image.reason or image.state).value


async def load_rebuilt(db: Database, job: Job) -> Rebuilt | None:
    """Read what a report says of a rebuild; None of another job."""
    lock = job.spec.get("lock")
    if not lock:
        return None
    header = lock["header"]
    unlike = await locked_images.unlike_lock(db, job.dataset_id, limit=NAMED) if job.is_final else []
    libraries = encoders.differences(header["libraries"], encoders.versions())
    return Rebuilt(lock["digest"], header["dataset"]["version"], header["images"], unlike, libraries)

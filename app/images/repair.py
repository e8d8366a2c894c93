"""Repair of files whose pixels are sound but which a loader cannot open because of something else in them, such as a broken EXIF block.

A repaired form is the file without that part. The original stays as it came; the form is derived from it.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from app.images import decode, metadata, structure
from errors import Reason, ValidationError

__all__ = ["Repair", "decode_or_repair"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Repair:
    """A form of a file with the same pixels.

    Attributes:
        changes: what was removed, for people.
    """

    body: bytes = field(repr=False)
    changes: str


def decode_or_repair(body: bytes, attempt: Callable[[bytes], Result]) -> tuple[Result, Repair | None]:
    """Call ``attempt`` with a file; where the file is corrupt, with each of its repaired forms until one is not.

    Returns:
        The result, and the repair that it belongs to, if there was one.

    Raises:
        errors.ValidationError: the first error of ``attempt``, if no repair helps.
    """
    try:
        return attempt(body), None
    except ValidationError as error:
        if error.slug is not Reason.CORRUPT:
            raise
        for repair in _repairs(body, error.message):
            with suppress(ValidationError):
                return attempt(repair.body), repair
        raise


def _repairs(body: bytes, fault: str) -> Iterator[Repair]:
    """The forms to try, the least changed first."""
    for what, form in metadata.forms_without(body, structure.sniff(body) or "", _orientation_of(body)):
        yield Repair(form, f"removed {what}: {fault}"[:300])


def _orientation_of(body: bytes) -> int:
    """The orientation that can be read in spite of the fault, else 1."""
    with suppress(ValidationError), decode.pillow_errors("orientation"):
        return decode.orientation_of(decode.read_header(body).image)
    return 1

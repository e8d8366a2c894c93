"""What people decide about images. Plain values without I/O; :mod:`app.datasets.review` carries them out."""

from enum import StrEnum

__all__ = ["ReviewAction", "Reviewed"]


class Reviewed(StrEnum):
    """What a person decided about an image; a stage obeys it."""

    KEEP = "keep"
    """It is kept, whatever the checks say and whatever resembles it."""

    REJECT = "reject"
    """It stays out, and so do copies of it."""

    REPLACED = "replaced"
    """It is the same as another image, which was kept instead."""

    RELABEL = "relabel"
    """Only its label was decided."""

    CHANGED = "changed"
    """Its origin has other bytes since: what was decided does not hold for them."""


class ReviewAction(StrEnum):
    """What a person does about an image."""

    KEEP = "keep"
    REJECT = "reject"
    RELABEL = "relabel"
    KEEP_INSTEAD = "keep_instead"
    """Of duplicates, keep this one in place of the one that is kept."""

    SPLIT_GROUP = "split_group"
    """It is no duplicate: keep it beside the other one."""

    UNDO = "undo"

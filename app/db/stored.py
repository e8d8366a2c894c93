"""A row of ``images`` as a value: which columns are asked for, and what is made of them."""

from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Row

from app.db import tables
from app.domain import ImageState, Reason, StoredImage

__all__ = ["STORED", "as_image"]

STORED = [tables.images.c[field.name] for field in fields(StoredImage)]
"""In the order of the fields: a row is the arguments."""

_STATES: Final = {state.value: state for state in ImageState}
_REASONS: Final[dict[str | None, Reason | None]] = {None: None} | {reason.value: reason for reason in Reason}
"""Looking up costs a fifth of what an enum's constructor does, and a build reads every row several times."""

_STATE = STORED.index(tables.images.c.state)


def as_image(row: Row[Any]) -> StoredImage:
    """A row of the columns :data:`STORED`.

    Raises:
        KeyError: a state or a reason that this version does not know.
    """
    values: tuple[Any, ...] = (*row[:_STATE], _STATES[row[_STATE]], _REASONS[row[_STATE + 1]], *row[_STATE + 2 :])
    return StoredImage(*values)

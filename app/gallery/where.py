"""An expression of ``--where`` over columns: the same answer as for each image by itself. Pure; numpy."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

import errors
from app.domain import ImageState, StoredImage
from app.formatting import either
from app.gallery.columns import Columns, Mask
from app.selection import Selection
from app.selection.expressions import NEGATIONS, And, Comparison, Expression, Not, Or, make_test

__all__ = ["NAMES", "check", "where_mask"]

_CATEGORIES: Final[Mapping[str, str]] = {
    "label": "label",
    "split": "split",
    "source": "source",
    "license": "license",
    "host": "url",
    "format": "media_type",
}
"""The names that a gallery has as categories, each with the attribute of an image that decides it."""

_NUMBERS: Final = ("width", "height", "aspect", "bytes", "sharpness", "brightness", "entropy")

NAMES: Final = (*_CATEGORIES, *_NUMBERS)
"""The names that an expression may ask for."""


def check(selection: Selection) -> None:
    """Refuse what columns do not know.

    Raises:
        errors.ValidationError: the expression asks for something else; the message has the names that there are.
    """
    unknown = sorted(selection.names - set(NAMES))
    if unknown:
        raise errors.ValidationError(
            f"where asks for {unknown[0]}, which a list of images is not searched by; there is {either(NAMES)}, and text for words"
        )


def where_mask(columns: Columns, expression: Expression) -> Mask:
    """Mark the rows that an expression selects."""
    match expression:
        case Not(operand):
            return ~where_mask(columns, operand)
        case And(operands):
            return np.asarray(np.logical_and.reduce([where_mask(columns, one) for one in operands]))
        case Or(operands):
            return np.asarray(np.logical_or.reduce([where_mask(columns, one) for one in operands]))
        case Comparison(field, sign, values) if sign in NEGATIONS:
            return ~where_mask(columns, Comparison(field, NEGATIONS[sign], values))
        case Comparison(field) if field.name in _CATEGORIES:
            return _compare_category(columns, expression)
        case Comparison(field, sign, values):
            numbers = columns.numbers[field.name]
            return np.asarray(np.logical_or.reduce([_compare_number(numbers, sign, value) for value in values]))


def _compare_category(columns: Columns, comparison: Comparison) -> Mask:
    """Ask the test of an image once for each value of the category."""
    name = comparison.field.name
    test = make_test(comparison)
    answers = [test(_image(_CATEGORIES[name], value)) for value in columns.values[name]]
    return np.asarray(np.array(answers, np.bool_)[columns.codes[name]])


def _image(attribute: str, value: str | None) -> StoredImage:
    """An image of which nothing else is known."""
    given: dict[str, Any] = {"url": "", "source": "", attribute: value}
    if attribute == "url":
        given["url"] = "" if value is None else f"//[{value}]" if ":" in value else f"//{value}"
    if attribute == "media_type" and value is not None:
        given["media_type"] = f"image/{value}"
    return StoredImage(id=0, dataset_id="", job_id="", chunk_id=None, state=ImageState.KEPT, **given)


_ORDERS: Final = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


def _compare_number(numbers: Any, sign: str, value: Any) -> Mask:
    """A missing number is in no order and equals nothing but None."""
    if value is None:
        return np.asarray(np.isnan(numbers))
    return np.asarray(_ORDERS.get(sign, np.equal)(numbers, value))

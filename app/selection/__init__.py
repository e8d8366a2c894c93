"""Which images are taken: the language of ``--where``, and limits for each label. Pure; knows images as values, no rows and no SQL."""

from app.selection.expressions import Test
from app.selection.parser import Selection, parse

__all__ = ["Selection", "Test", "parse"]

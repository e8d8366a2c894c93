"""Tests of app.exports: formats by name."""

from typing import get_args

import pytest

import errors
from app.domain import ExportFormat
from app.exports import formats


def test_every_format_of_the_vocabulary_has_its_exporter() -> None:
    """And no other."""
    assert sorted(formats.EXPORTERS) == sorted(get_args(ExportFormat))
    assert all(formats.get_exporter(name).format == name for name in formats.EXPORTERS)


def test_an_unknown_format_is_told_with_those_there_are() -> None:
    """So that users need not look them up."""
    with pytest.raises(errors.ConfigurationError, match=f"'zip' is unknown; there are {', '.join(sorted(get_args(ExportFormat)))}$"):
        formats.get_exporter("zip")

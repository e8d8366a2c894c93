"""Tests of app.exports: formats by name."""

from typing import get_args

import pytest

import errors
from app import exports
from app.domain import ExportFormat


def test_every_format_of_the_vocabulary_has_its_exporter() -> None:
    """And no other."""
    assert sorted(exports.EXPORTERS) == sorted(get_args(ExportFormat))
    assert all(exports.get_exporter(name).format == name for name in exports.EXPORTERS)


def test_an_unknown_format_is_told_with_those_there_are() -> None:
    """So that nobody has to look them up."""
    with pytest.raises(errors.ConfigurationError, match="'zip' is unknown; there are files, imagefolder, webdataset"):
        exports.get_exporter("zip")

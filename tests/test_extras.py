"""Tests of app.extras."""

import sys

import pytest

import errors
from app import extras


def test_what_is_installed_is_imported() -> None:
    """Under its full name."""
    assert extras.require("json.decoder", "none", "nothing") is sys.modules["json.decoder"]


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it, what is missing, and how to install it."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(errors.ConfigurationError, match=r"^the format parquet needs pyarrow; install pictrawl\[parquet\]$"):
        extras.require("pyarrow.parquet", "parquet", "the format parquet")

"""Packages that come with an extra of pictrawl, imported when they are needed."""

import importlib
from typing import Any

import errors

__all__ = ["require"]


def require(module: str, extra: str, what: str) -> Any:
    """Import a package that comes with an extra.

    Raises:
        errors.ConfigurationError: it is not installed; says what needs it, and names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise errors.ConfigurationError(f"{what} needs {module.split('.')[0]}; install pictrawl[{extra}]") from error

"""Parts of libraries that nothing here uses, and that take a fifth of what a start takes: a console client, signing, vectors in Redis."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final

__all__ = ["leave_out", "without"]

_OPTIONAL: Final = ("httpx._main",)
"""Modules whose own package does without them: httpx's command line, and with it click, Pygments and half of Rich."""

_LATER: Final = ("jwt",)
"""Modules that their users import whole: redis-py's, for tokens of Entra ID, brings the cryptography library."""


class _Later(ModuleType):
    """Stands in for a module until something of it is asked for. (`importlib.util.LazyLoader` does not: a plain ``import`` asks, too.)"""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def leave_out() -> None:
    """Set a process up before it imports anything large. What is left out optionally stays out; the rest comes when it is first used."""
    for name in _OPTIONAL:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # an import of it then fails at once (documented for sys.modules)
    for name in _LATER:
        sys.modules.setdefault(name, _Later(name))


@contextmanager
def without(name: str) -> Iterator[None]:
    """Have imports in the body do without a library that they could use; who imports it afterwards gets it."""
    modules: dict[str, Any] = sys.modules
    is_there = name in modules
    modules.setdefault(name, None)
    try:
        yield
    finally:
        if not is_there:
            del modules[name]

"""Spans: what an operation was part of and how long it took. Here is the seam that all code uses; who makes real ones is installed from
above (:mod:`app.tracing`). Until then every call ends at once, and nothing of OpenTelemetry is imported.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self

__all__ = ["NOTHING", "Kind", "Span", "Tracer", "carried", "current", "install", "is_on", "span"]

Kind = Literal["internal", "server", "client", "producer", "consumer"]

_NONE: Final[Mapping[str, str]] = {}


class Span:
    """One operation, entered with ``with``. This one records nothing; a tracer's own do."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def set(self, **attributes: Any) -> None:
        """Say more of it; ``None`` says nothing."""

    def rename(self, name: str) -> None:
        """Give it the name that is only known now."""

    def event(self, name: str, **attributes: Any) -> None:
        """Note that something happened in its course."""

    def fail(self, error: BaseException) -> None:
        """Mark it as failed, of this error."""

    def carried(self) -> Mapping[str, str]:
        """What goes along with a message so that its receiver's spans hang below this one: ``traceparent``, or nothing."""
        return _NONE


NOTHING: Final = Span()
"""The span while tracing is off, and of what is not sampled."""


class Tracer(Protocol):
    """Who makes spans."""

    def span(self, name: str, kind: Kind, parent: str | None, share_by: str | None, attributes: Mapping[str, Any]) -> Span:
        """A span that begins when it is entered."""
        ...

    def current(self) -> Span:
        """The innermost span that is entered here."""
        ...


_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Have spans made by ``tracer`` from now on, or by nobody."""
    global _tracer
    _tracer = tracer


def is_on() -> bool:
    """Whether anybody makes spans."""
    return _tracer is not None


def span(name: str, *, kind: Kind = "internal", parent: str | None = None, share_by: str | None = None, **attributes: Any) -> Span:
    """A span around a ``with`` block, below the current one. Not for the body of an async generator: it runs in its consumers' contexts.

    Args:
        parent: traceparent of the span above it, where that is in another process; malformed, it counts as none.
        share_by: of very many spans alike only a share is recorded, with all below them; the same text is always in or always out.
        attributes: what is known of it; redacted like the fields of a log line.
    """
    if _tracer is None:
        return NOTHING
    return _tracer.span(name, kind, parent, share_by, attributes)


def current() -> Span:
    """The innermost span around here."""
    return NOTHING if _tracer is None else _tracer.current()


def carried(traceparent: str | None = None) -> Mapping[str, str]:
    """What goes along with a message: the current span's ``traceparent``; without a span the one given, if any."""
    return current().carried() or ({"traceparent": traceparent} if traceparent else {})

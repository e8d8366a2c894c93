"""What a person sees of a running job: a live display on a terminal, a line now and then elsewhere, or nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.cli.progress.snapshot import Snapshot
    from app.settings import Settings

__all__ = ["Display", "display"]


class Display(Protocol):
    """Is told of every look at the job, a few times a second."""

    def update(self, snapshot: "Snapshot") -> None:
        """Show it, or not."""
        ...


class Nothing:
    """Shows nothing."""

    def update(self, snapshot: "Snapshot") -> None:
        """Do nothing."""


def display(cli: Cli, settings: "Settings", title: str) -> AbstractContextManager[Display]:
    """The display that the options and the terminal ask for."""
    kind = cli.progress
    if kind == "auto":
        kind = "none" if cli.quiet else "rich" if cli.is_terminal else "plain"
    if kind == "rich":
        from app.cli.progress.live import live

        return live(cli, settings, title)
    return _plain(cli) if kind == "plain" else _nothing()


@contextmanager
def _plain(cli: Cli) -> Iterator[Display]:
    from app.cli.progress.plain import Plain

    yield Plain(cli)


@contextmanager
def _nothing() -> Iterator[Display]:
    yield Nothing()

"""The ``pictrawl`` command: arguments in, one result on stdout, everything else on stderr, an exit code that scripts can rely on.

Nothing heavy is imported before a command's body runs, so that ``pictrawl --help`` answers at once.
"""

from app.cli.entry import main

__all__ = ["main"]

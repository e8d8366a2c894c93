"""The exit codes. Scripts rely on them: a number never changes its meaning."""

__all__ = ["BUG", "ENVIRONMENT", "NOTHING_KEPT", "OK", "SERVER", "SIGNALLED", "TOO_FEW", "UNVERIFIED", "USAGE"]

OK = 0
BUG = 1
USAGE = 2
"""A wrong argument or setting; nothing was written."""
TOO_FEW = 3
"""Fewer images than ``--min-images``; ``rebuild``: than the lock has."""
NOTHING_KEPT = 4
"""No image was kept; ``fetch``: the URL failed or was deferred."""
ENVIRONMENT = 5
"""Disk, Redis, database, or another process in the workspace."""
SERVER = 6
"""The API server cannot run."""
UNVERIFIED = 7
"""Verification failed: what was read back differs from what was written; ``rebuild``: a form differs from the lock's."""
SIGNALLED = 128
"""Plus the signal's number: 130 and 143 are interrupted, saved and resumable."""

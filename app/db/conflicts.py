"""What the state of the rows refuses: the request makes sense, but not now."""

import errors

__all__ = ["KeyReused", "StateConflict"]


class StateConflict(errors.ValidationError):
    """What is asked for does not fit the state that a row is in. Another state, or another moment, would allow it."""


class KeyReused(errors.ValidationError):
    """An Idempotency-Key came again with another request."""

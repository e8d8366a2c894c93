"""Version numbers of a dataset, MAJOR.MINOR.PATCH, whose parts mean what Croissant 1.1 says ("Dataset Versioning/Checkpoints")."""

import re
from typing import Final, NamedTuple, Self

import errors

__all__ = ["FIRST", "Version", "next_version"]

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


class Version(NamedTuple):
    """A version number. Versions compare as their parts do: 1.10.0 is newer than 1.9.0."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a version such as ``1.2.0``.

        Raises:
            errors.ValidationError: it is not three numbers.
        """
        match = _NUMBER.fullmatch(text)
        if match is None:
            raise errors.ValidationError(f"version {text[:40]!r} is not MAJOR.MINOR.PATCH, such as 1.2.0")
        return cls(*map(int, match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST: Final = Version(1, 0, 0)
"""The version of a dataset that has no other."""


def next_version(previous: Version | None, added: int, removed: int, changed: int) -> Version:
    """The version after ``previous``, by how many records differ from it.

    Args:
        previous: the version before; None for the first one.
        added: records that it does not have.
        removed: records that only it has.
        changed: records that both have with other bytes, another label, caption or split.

    Returns:
        Another major version if records were removed or changed; else another minor one if some were added; else another patch, whose
        records are the same in another form or under another description.
    """
    if previous is None:
        return FIRST
    if removed or changed:
        return Version(previous.major + 1, 0, 0)
    if added:
        return Version(previous.major, previous.minor + 1, 0)
    return previous._replace(patch=previous.patch + 1)

"""Which rows hold a text: every word once, in one blob that is searched for parts of words, and the rows of each. Pure; numpy."""

import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Words"]

_FEW: Final = 2_000
"""Words whose rows are taken list by list; for more of them one pass over the rows of all words is faster."""

_MOST_FOUND: Final = 5_000
"""Places that ``find`` looks for, at 0.3 us each; for more of them it is faster to compare every byte in numpy."""

_SAMPLED: Final = 100_000
"""Bytes by which is judged how rare each one is."""

_COMPARED: Final = 3
"""Bytes of a part that are compared with every place; the others only where these have matched."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of all rows.

    Attributes:
        text: what holds the blob: every word in UTF-8, a newline before and behind each; a word holds none.
        blob: the bytes of the blob, which begin at ``begin`` in ``text``.
        starts: place of each word in the blob.
        ends: where the rows of each word end in ``rows``; they begin where those of the word before end.
        rows: the rows of each word, in no order.
    """

    text: "bytes | mmap.mmap"
    begin: int
    blob: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    rows: NDArray[np.uint32]

    @classmethod
    def of(cls, words: Iterable[str], codes: NDArray[Any], rows: NDArray[Any]) -> "Words":
        """Index the words of rows.

        Args:
            words: each word once; its position is its code.
            codes, rows: the pairs of a word and a row that holds it.
        """
        text = "\n".join(("", *words, "")).encode("utf-8", "replace")
        blob = np.frombuffer(text, np.uint8)
        starts = np.flatnonzero(blob == ord("\n"))[:-1] + 1
        ends = np.cumsum(np.bincount(codes, minlength=len(starts)), dtype=np.int64)
        return cls(text, 0, blob, starts, ends, rows[np.argsort(codes, kind="stable")].astype(np.uint32, copy=False))

    def mask(self, parts: Iterable[str], size: int) -> NDArray[np.bool_]:
        """Mark the rows of which each part is in some word.

        Args:
            parts: folded, without spaces and slashes.
            size: number of rows.
        """
        found = np.ones(size, np.bool_)
        for part in parts:
            found &= self._rows_of(self._words_with(part.encode("utf-8", "replace")), size)
        return found

    def _words_with(self, part: bytes) -> NDArray[np.int64]:
        """Codes of the words that hold a part, ascending."""
        few = self._find_few(part)
        places = _find_many(self.blob, part) if few is None else np.array(few, np.int64)
        codes = np.searchsorted(self.starts, places, "right") - 1
        return codes[np.flatnonzero(np.diff(codes, prepend=-1))]

    def _find_few(self, part: bytes) -> Sequence[int] | None:
        """Places of a part; None where there are many."""
        end, places = self.begin + len(self.blob), list[int]()
        place = self.text.find(part, self.begin, end)
        while place >= 0:
            places.append(place - self.begin)
            if len(places) > _MOST_FOUND:
                return None
            place = self.text.find(part, place + 1, end)
        return places

    def _rows_of(self, codes: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
        found = np.zeros(size, np.bool_)
        if len(codes) <= _FEW:
            ends = self.ends[codes].tolist()
            begins = [int(self.ends[code - 1]) if code else 0 for code in codes.tolist()]
            for begin, end in zip(begins, ends, strict=True):
                found[self.rows[begin:end]] = True
            return found
        is_chosen = np.zeros(len(self.ends), np.bool_)
        is_chosen[codes] = True
        found[self.rows[np.repeat(is_chosen, np.diff(self.ends, prepend=0))]] = True
        return found


def _find_many(blob: NDArray[np.uint8], part: bytes) -> NDArray[np.int64]:
    """Places of a part, ascending; its rarest bytes are compared first."""
    pattern = np.frombuffer(part, np.uint8)
    size = len(blob) - len(part) + 1
    counts = np.bincount(blob[:_SAMPLED], minlength=256)[pattern]
    order = np.argsort(counts, kind="stable").tolist()
    is_hit = np.ones(size, np.bool_)
    for at in order[:_COMPARED]:
        is_hit &= blob[at : at + size] == pattern[at]
    places = np.flatnonzero(is_hit)
    for at in order[_COMPARED:]:
        places = places[blob[places + at] == pattern[at]]
    return places

"""Names of splits, as Hugging Face datasets find them in the names of files and folders, and as Ultralytics calls them."""

import re
from collections.abc import Iterable, Mapping

__all__ = ["SPLIT_WORD", "is_split_folder", "parse_shares", "shares_text", "split_by_name", "split_word", "ultralytics_splits"]

_WORDS = r"(?:(?P<train>train|training)|(?P<validation>validation|valid|dev|val)|(?P<test>test|testing|eval|evaluation))"

SPLIT_WORD = re.compile(rf"(?<![^-._ 0-9]){_WORDS}(?![^-._ 0-9])")
"""Words by which Hugging Face datasets assign files to a split when they stand in the name of any folder, between characters that are no
letters: ``SPLIT_KEYWORDS`` and ``NON_WORDS_CHARS`` of ``datasets.data_files``, 5.2."""

_SPLIT_FOLDER = re.compile(rf"{_WORDS}[-._ 0-9]*", re.IGNORECASE)
"""A folder that is a split and cannot be a class: ``train``, ``val2017``."""


def split_by_name(folder: str) -> str | None:
    """The split to which Hugging Face datasets assign the files of a folder when nothing but its name says so; None for no split."""
    match = SPLIT_WORD.search(folder)
    return match.lastgroup if match else None


def split_word(name: str) -> str | None:
    """The word in a name that names a split, as it stands there in lower case: ``val`` of ``val-00000-of-00001.parquet``."""
    match = SPLIT_WORD.search(name.lower())
    return match[0] if match else None


def ultralytics_splits(splits: Iterable[str]) -> dict[str, str]:
    """For each split the one of Ultralytics that it is, by its whole name: ``train``, ``val`` or ``test``.

    Raises:
        ValueError: it is none of them, as ``train_small``, two are the same, or there is none for training.
    """
    found: dict[str, str] = {}
    for split in splits:
        match = SPLIT_WORD.fullmatch(split)
        name = "val" if match and match.lastgroup == "validation" else match and match.lastgroup
        if not name:
            raise ValueError(f"the format yolo has the splits train, val and test, not {split!r}; use these names in --split")
        if name in found.values():
            raise ValueError(f"two splits are {name!r} in the format yolo, one of them {split!r}; use one name in --split")
        found[split] = name
    if found and "train" not in found.values():
        raise ValueError(f"the format yolo needs a split 'train', and there is {', '.join(map(repr, found))} only; add one with --split")
    return found


def is_split_folder(name: str) -> bool:
    """Whether a folder's name is that of a split and nothing else."""
    return _SPLIT_FOLDER.fullmatch(name) is not None


def parse_shares(text: str) -> dict[str, float]:
    """Parse ``train=0.8,val=0.1,test=0.1``. The request checks names and sum.

    Raises:
        ValueError: a part is not ``NAME=SHARE``, or names a split once more.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = part.strip().partition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not equals or value < 0 or name in shares:
            raise ValueError(f"{part.strip()!r} is not NAME=SHARE")
        shares[name] = value
    return shares


def shares_text(shares: Mapping[str, float]) -> str:
    """Write shares as `parse_shares` reads them."""
    return ",".join(f"{name}={share!r}" for name, share in shares.items())

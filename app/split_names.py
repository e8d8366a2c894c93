"""Names of splits, as Hugging Face datasets find them in the names of files and folders."""

import re

__all__ = ["SPLIT_WORD", "is_split_folder", "split_by_name", "split_word"]

_WORDS = r"(?:(?P<train>train|training)|(?P<validation>validation|valid|dev|val)|(?P<test>test|testing|eval|evaluation))"

SPLIT_WORD = re.compile(rf"(?<![^-._0-9]){_WORDS}(?![^-._0-9])")
"""Words by which Hugging Face datasets assign files to a split when they stand in the name of any folder, between characters that are no
letters: ``SPLIT_KEYWORDS`` and ``NON_WORDS_CHARS`` of ``datasets.data_files``, 5.2."""

_SPLIT_FOLDER = re.compile(rf"{_WORDS}[-._0-9]*", re.IGNORECASE)
"""A folder that is a split and cannot be a class: ``train``, ``val2017``."""


def split_by_name(folder: str) -> str | None:
    """The split to which Hugging Face datasets assign the files of a folder when nothing but its name says so; None for no split."""
    match = SPLIT_WORD.search(folder)
    return match.lastgroup if match else None


def split_word(name: str) -> str | None:
    """The word in a name that names a split, as it stands there in lower case: ``val`` of ``val-00000-of-00001.parquet``."""
    match = SPLIT_WORD.search(name.lower())
    return match[0] if match else None


def is_split_folder(name: str) -> bool:
    """Whether a folder's name is that of a split and nothing else."""
    return _SPLIT_FOLDER.fullmatch(name) is not None

"""Tests of app.exports.names: every name is portable, whatever a label says."""

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

import errors
from app.exports import names
from tests.exports import loaders
from tests.exports.builders import sample

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("cat", "cat"),
        ("Hot Dog", "hot-dog"),
        ("  a / b  ", "a-b"),
        ("Größe café", "grosse-cafe"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\x", "c-x"),
        (".hidden", "hidden"),
        ("st. bernard.", "st.-bernard"),
        ("ｆｕｌｌ", "full"),
        ("a" * 200, "a" * 80),
        ("test tube", "classtest-tube"),
        ("train", "classtrain"),
        ("Crash-Test 2", "crash-classtest-2"),
        ("2val", "2classval"),
        ("Évaluation", "classevaluation"),
        ("contest", "contest"),
        ("a" * 75 + " testament", "a" * 75 + "-tes"),
    ],
)
def test_slug_keeps_what_is_portable(label: str, folder: str) -> None:
    """Letters, digits, dots, dashes and underscores, lower case, accents dropped."""
    assert names.slug(label) == folder


@pytest.mark.parametrize("label", ["", ".", "..", "猫", "/", "CON", "aux.jpg", "LPT¹", "com\u00b2", "nul.", "metadata.jsonl", "-_-"])
def test_slug_hashes_what_is_not(label: str) -> None:
    """Nothing left, a device name, or the name of our own file: the class gets a name of its own."""
    assert re.fullmatch(r"class_[0-9a-f]{8}", names.slug(label))


@given(st.text())
def test_slug_is_always_one_portable_segment(label: str) -> None:
    """No label escapes the folder, hides, ends in a dot or collides with a device."""
    folder = names.slug(label)
    assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,79}", folder)
    assert folder[-1] not in ".-"
    assert folder.split(".")[0] not in DEVICES
    assert names.slug(label) == folder


@given(st.sets(st.one_of(st.text(max_size=6), st.sampled_from(["A b", "a-b", "a b", "a/b", "Ａ b", "ä-b"]))))
def test_class_folders_differ_even_without_case(labels: set[str]) -> None:
    """Two labels never share a folder, on no filesystem; the order in which they come does not matter."""
    folders = names.class_folders(labels)
    assert set(folders) == labels
    assert len({folder.casefold() for folder in folders.values()}) == len(labels)
    assert all(len(folder) <= 80 for folder in folders.values())
    assert names.class_folders(sorted(labels, reverse=True)) == folders


WORDS = ["test", "Train", "val", "dev", "valid", "training", "testing", "eval", "evaluation", "validation", "x", "2", "a" * 66]


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(tuple), max_size=6), st.sampled_from(" -_.0"))
def test_no_class_folder_is_taken_for_a_split(words: list[tuple[str, ...]], between: str) -> None:
    """By the patterns of Hugging Face datasets, also where labels collide and where they are cut."""
    labels = [between.join(one) for one in words] + [between.join(one).upper() for one in words]
    for folder in names.class_folders(labels).values():
        assert not [pattern for pattern in split_patterns() if fnmatchcase(folder, pattern)]


def split_patterns() -> list[str]:
    """Of the names of folders."""
    keywords = [keyword for split in loaders.SPLIT_KEYWORDS.values() for keyword in split]
    return [pattern.format(keyword=keyword, sep=loaders.NON_WORDS_CHARS) for keyword in keywords for pattern in loaders.DIR_PATTERNS]


def test_class_folders_give_the_plain_slug_to_the_first_in_order() -> None:
    """The others get a suffix that depends on the label alone."""
    folders = names.class_folders(["a b", "A b", "x" * 90, "x" * 91])
    assert folders["A b"] == "a-b"
    assert re.fullmatch(r"a-b-[0-9a-f]{8}", folders["a b"])
    assert re.fullmatch(r"x{71}-[0-9a-f]{8}", folders["x" * 91])


def test_class_folders_survive_a_label_spelled_like_a_suffix() -> None:
    """Even who knows the hash cannot make two classes share a folder."""
    suffixed = names.class_folders(["A b", "a b"])["a b"]
    folders = names.class_folders(["A b", suffixed, "a b"])
    assert len(set(folders.values())) == 3


def test_names_are_generated_from_index_and_digest() -> None:
    """Nothing of a URL or title is in them, and no dot before the suffix: WebDataset cuts a key at the first."""
    item = sample(7)
    assert names.stem(item) == f"000007_{item.sha256[:12]}"
    assert names.image_name(item) == f"000007_{item.sha256[:12]}.jpg"
    assert names.stem(sample(0, index=12_345_678)).startswith("12345678_")


@pytest.mark.parametrize(
    "values",
    [
        {"sha256": "../" + "a" * 61},
        {"extension": "jp/g"},
        {"extension": ""},
        {"split": "../x"},
        {"split": "Train"},
        {"split": "con"},
        {"index": 4},
    ],
)
def test_check_sample_refuses_what_would_spoil_a_path(values: dict[str, object]) -> None:
    """An index that is not dense, and every part of a name that is not plain."""
    with pytest.raises(errors.ValidationError, match="sample 3"):
        names.check_sample(sample(3, **values), 3)


def test_check_sample_takes_a_plain_one() -> None:
    """Verification reports no problem."""
    names.check_sample(sample(3), 3)

"""Which column means what."""

from collections.abc import Sequence

import pytest

import errors
from app.discovery.lists import columns
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

SPEC = ListSpec(key="k", suffix=".csv")
URL = "https://example.org/a.jpg"


def candidate(names: list[str], values: Sequence[object], spec: ListSpec = SPEC) -> Candidate | ListProblem:
    return columns.pick(names, spec, "the list x").candidate(values, 7, 3)


@pytest.mark.parametrize("name", ["url", "URL", "Image_URL", "img url", "image-url", " Url ", "OriginalURL"])
def test_pick_when_url_column_has_a_common_name(name: str) -> None:
    """Case, spaces and dashes do not matter."""
    found = candidate(["id", name], ["1", URL])
    assert found == Candidate(url=URL, source="list", rank=3, line=7, extra={"id": "1"})


def test_candidate_when_all_columns_are_there() -> None:
    """Every column that a candidate has a field for is read."""
    row: dict[str, object] = {
        "URL": f" {URL} ",
        "TEXT": "a\tcat\x00",
        "class": 3,
        "LICENSE": "http://creativecommons.org/licenses/by/4.0/deed.en",
        "license_url": "//example.org/l",
        "WIDTH": "640",
        "height": 480.0,
        "sha256": "AB" * 32,
        "page_url": "https://example.org/page",
        "title": "Cat",
        "author": b"Ann",
        "credit": "Ann (CC)",
        "observation_id": 12,
        "similarity": 0.3,
    }
    assert candidate(list(row), list(row.values())) == Candidate(
        url=URL,
        source="list",
        rank=3,
        line=7,
        caption="a cat",
        label="3",
        license="http://creativecommons.org/licenses/by/4.0/deed.en",
        license_url="https://example.org/l",
        width=640,
        height=480,
        expected_sha256="ab" * 32,
        page_url="https://example.org/page",
        title="Cat",
        creator="Ann",
        attribution="Ann (CC)",
        group_id="12",
        extra={"similarity": 0.3},
    )


def test_candidate_when_values_make_no_sense() -> None:
    """What a list says beside the URL is taken if it makes sense and left if not; unknown licences keep their words."""
    names = ["url", "width", "height", "page_url", "caption", "license"]
    found = candidate(names, [URL, "wide", float("inf"), "nowhere", [{"x": 1}], "ask us"])
    assert found == Candidate(url=URL, source="list", rank=3, line=7, license="ask us")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "no URL"), ("", "no URL"), (["x", "y"], "a list of 2; write one row for each URL"), (7, "not a URL"), ("ftp://x/y", "scheme")],
)
def test_candidate_when_url_is_none(value: object, words: str) -> None:
    """A row without a URL is a problem on its line."""
    found = candidate(["url"], [value])
    assert isinstance(found, ListProblem)
    assert found.line == 7
    assert words in found.message


@pytest.mark.parametrize("digest", ["abc", "g" * 64, 12])
def test_candidate_when_digest_is_broken(digest: object) -> None:
    """A promise that cannot be checked is not dropped in silence."""
    found = candidate(["url", "sha256"], [URL, digest])
    assert isinstance(found, ListProblem)
    assert "sha256" in found.message


@pytest.mark.parametrize("digest", [None, ""])
def test_candidate_when_digest_is_missing(digest: object) -> None:
    """No promise is no promise."""
    found = candidate(["url", "sha256"], [URL, digest])
    assert isinstance(found, Candidate)
    assert found.expected_sha256 is None


@pytest.mark.parametrize(
    ("digests", "expected"),
    [
        ({"sha256": "1" * 64}, "1" * 64),
        ({"sha256": "1" * 64, "source_sha256": "2" * 64}, "2" * 64),
        ({"file_name": "a.jpg", "sha256": "1" * 64, "source_sha256": "2" * 64}, "2" * 64),
        ({"sha256": "1" * 64, "source_sha256": None}, None),
        ({"file_name": "a.jpg", "sha256": "1" * 64}, None),
        ({"file_name": "a.jpg", "sha256": "not of the origin"}, None),
        ({"hash": -4419, "md5": "3" * 32, "sha256": "1" * 64}, "1" * 64),
    ],
)
def test_candidate_expects_the_digest_of_the_origins_bytes(digests: dict[str, object], expected: str | None) -> None:
    """Beside a file_name ``sha256`` is that of the local file, which may be resized; ``source_sha256`` is always that of the origin's."""
    found = candidate(["url", *digests], [URL, *digests.values()])
    assert isinstance(found, Candidate)
    assert found.expected_sha256 == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("train", "train"),
        (" Validation ", "validation"),
        ("TEST", "test"),
        (None, None),
        (0, None),
        ("", None),
        ("a/b", None),
        ("2017", None),
    ],
)
def test_candidate_takes_the_split_of_the_list(value: object, expected: str | None) -> None:
    """A name that can be that of a split; numbers of folds and other words are none."""
    found = candidate(["url", "split"], [URL, value])
    assert isinstance(found, Candidate)
    assert found.split == expected


def test_candidate_of_a_row_of_our_own_export() -> None:
    """It calls each field by one name: a title is no caption, and what describes the file is none of the fields."""
    row = {
        "file_name": "a.jpg", "label": "lynx", "split": "val", "width": 70, "height": 60, "size_bytes": 9, "media_type": "image/jpeg",
        "sha256": "1" * 64, "source_sha256": "2" * 64, "source": "wikimedia", "url": URL, "title": "Lynx", "phash": "0f" * 8, "class": "no",
    }  # fmt: skip
    found = candidate(list(row), list(row.values()))
    assert isinstance(found, Candidate)
    assert (found.caption, found.title, found.label, found.split, found.expected_sha256) == (None, "Lynx", "lynx", "val", "2" * 64)
    del row["source_sha256"]
    del row["file_name"]
    older = candidate(list(row), list(row.values()))
    assert isinstance(older, Candidate)
    assert older.expected_sha256 is None


def test_pick_when_spec_names_columns() -> None:
    """The spec's columns win over what names suggest, exactly or in another case."""
    spec = ListSpec(key="k", suffix=".csv", url_column="link", caption_column="Alt", label_column="kind", license_column="terms")
    found = candidate(["url", "link", "text", "alt", "KIND", "terms"], ["bad", URL, "no", "yes", "dog", "cc0"], spec)
    assert found == Candidate(
        url=URL, source="list", rank=3, line=7, caption="yes", label="dog", license="cc0", extra={"url": "bad", "text": "no"}
    )


def test_pick_when_spec_names_an_unknown_column() -> None:
    """The error names the setting, the columns there are and the nearest."""
    with pytest.raises(
        errors.ConfigurationError, match=r"the list x has no column 'captoin' \(caption_column\).*url, caption.*nearest is 'caption'"
    ):
        candidate(["url", "caption"], [], ListSpec(key="k", suffix=".csv", caption_column="captoin"))
    with pytest.raises(errors.ConfigurationError, match=r"no column 'zzz' \(url_column\)"):
        candidate(["url"], [], ListSpec(key="k", suffix=".csv", url_column="zzz"))


def test_pick_when_no_column_holds_urls() -> None:
    """The error names the columns and the way out, and a header that is missing."""
    with pytest.raises(errors.ConfigurationError, match=r"its columns are a, b; call one 'url'"):
        candidate(["a", "b"], [])
    with pytest.raises(errors.ConfigurationError, match="a header such as url,caption is missing"):
        candidate([URL, "cat"], [])
    with pytest.raises(errors.ConfigurationError, match="it has no columns"):
        candidate([], [])


def test_shown_when_there_are_many() -> None:
    """Names are cut, cleaned and counted."""
    words = columns.shown([f"c{n}\x00" for n in range(25)])
    assert words.endswith("c19 and 5 more")
    assert "\x00" not in words
    assert columns.shown([""]) == "''"


def test_candidate_when_there_are_several_captions_and_labels() -> None:
    """Lists, and the plural column beside the singular one, give all of them, each once; the first is the caption or the label."""
    names = ["url", "caption", "captions", "label", "labels"]
    found = candidate(names, [URL, "a", ["b", None, "a", " b "], 3.0, ["x", "3"]])
    assert isinstance(found, Candidate)
    assert (found.caption, found.captions, found.label, found.labels) == ("a", ("a", "b"), "3", ("3", "x"))
    found = candidate(names, [URL, None, ["b"], None, []])
    assert isinstance(found, Candidate)
    assert (found.caption, found.captions, found.label, found.labels) == ("b", (), None, ())
    named = ListSpec(key="k", suffix=".csv", caption_column="caption")
    found = candidate(names[:3], [URL, "a", "c"], named)
    assert isinstance(found, Candidate)
    assert (found.caption, found.captions, found.extra) == ("a", (), {"captions": "c"})


def test_candidate_when_values_are_missing() -> None:
    """A missing value is none in every field: no group of all images without a group, no digest that fails, no class called nan."""
    names = ["url", "label", "caption", "group", "sha256", "license", "title", "creator", "width", "x"]
    found = columns.pick(names, SPEC, "the list x", typed=False).candidate([URL, *["nan"] * 9], 7, 3)
    assert found == Candidate(url=URL, source="list", rank=3, line=7)
    assert candidate(names, [URL, *[float("nan")] * 9]) == found
    nothing = columns.pick(["url"], SPEC, "the list x", typed=False).candidate(["None"], 7, 3)
    assert isinstance(nothing, ListProblem)
    assert nothing.message == "there is no URL"


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (None, {"a": 1, "a_2": "x", "column_5": True}),
        (["a"], {"a": 1}),
        (["A", "box"], {"a": 1, "box": "[1, 2]"}),
        ([], {}),
    ],
)
def test_candidate_when_there_are_further_columns(keep: list[str] | None, kept: dict[str, object]) -> None:
    """All with single values, or those the spec names, lists and objects as JSON; names that clash or are empty are made up."""
    spec = ListSpec(key="k", suffix=".csv", keep_columns=keep)
    read = columns.pick(["url", "a", "a", "box", "", "none"], spec, "the list x")
    found = read.candidate([URL, 1, "x", [1, 2], True, None], 7, 3)
    assert isinstance(found, Candidate)
    assert found.extra == kept
    assert read.left_out == ({"box"} if keep is None else set())


def test_pick_when_a_kept_column_is_not_there() -> None:
    """The error names it and those there are."""
    with pytest.raises(errors.ConfigurationError, match=r"no column 'simil' \(keep_columns\).*nearest is 'similarity'"):
        columns.pick(["url", "similarity"], ListSpec(key="k", suffix=".csv", keep_columns=["simil"]), "the list x")


def test_candidate_when_there_are_too_many_further_columns() -> None:
    """A row keeps 200; the first of the others are named."""
    names = ["url", *(f"c{number}" for number in range(columns.MAX_KEPT + 30))]
    read = columns.pick(names, SPEC, "the list x")
    found = read.candidate([URL, *range(columns.MAX_KEPT + 30)], 7, 3)
    assert isinstance(found, Candidate)
    assert list(found.extra) == names[1 : columns.MAX_KEPT + 1]
    assert read.left_out == set(names[columns.MAX_KEPT + 1 : columns.MAX_KEPT + 21])

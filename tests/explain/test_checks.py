"""Checks as lines of text; what they say is tested with `app.images.checks`."""

from dataclasses import replace

import pytest

from app.db.image_search import Fingerprint
from app.domain import ImageState, Reason, StoredImage
from app.explain.checks import CheckLine, Duplicate, check_lines, why_kept
from app.images.checks import Facts
from app.images.dedupe import find_near
from app.rules import ValidationRules

IMAGE = StoredImage(1, "ds_1", "job_1", "chunk_1", "http://h/a.jpg", "list", ImageState.REJECTED, media_type="image/jpeg")


def lines_of(image: StoredImage, rules: ValidationRules) -> dict[str, CheckLine]:
    """The lines by the name of their check."""
    return {line.name: line for line in check_lines(image, rules)}


def test_a_line_names_value_limit_and_outcome() -> None:
    """Of an image as it was measured; a value that was not measured is a dash."""
    facts = Facts("jpeg", 40, 30, entropy=5.0, brightness=100.0)
    lines = lines_of(replace(IMAGE, width=40, height=30, measures=facts.measures()), ValidationRules())
    assert (lines["width"].outcome, lines["width"].passed) == ("failed", False)
    assert (lines["entropy"].outcome, lines["entropy"].passed) == ("not_reached", None)
    assert lines["width"].words().split() == ["width", "40", "at", "least", "64", "FAILED"]
    assert lines["sharpness"].words().split() == ["sharpness", "-", "at", "least", "20", "not", "applied"]


def test_an_image_that_does_not_decode_says_so() -> None:
    """Its header is judged; what needs the picture is not reached."""
    image = replace(IMAGE, measures={}, width=800, height=600, reason=Reason.CORRUPT)
    assert [(name, line.outcome) for name, line in lines_of(image, ValidationRules()).items()][:4] == [
        ("format", "passed"),
        ("pixels", "passed"),
        ("decodes", "failed"),
        ("width", "not_reached"),
    ]


def test_other_bytes_than_the_list_expects_are_not_decoded() -> None:
    """The digest is the check that failed, and decoding is not; where it is right, it is the first that passed."""
    image = replace(IMAGE, measures={}, reason=Reason.CORRUPT, sha256="a" * 64, expected_sha256="b" * 64)
    lines = list(lines_of(image, ValidationRules()).values())
    assert lines[0].words() == f"{'sha256':<12} {'a' * 10} {'b' * 10 + ', of the list':<34} FAILED"
    assert {line.outcome for line in lines[1:]} == {"not_reached", "not_asked"}
    plain = replace(IMAGE, measures=Facts("jpeg", 40, 30, entropy=5.0).measures(), width=40, height=30)
    digest, *same = lines_of(replace(plain, sha256="a" * 64, expected_sha256="a" * 64), ValidationRules()).values()
    assert (digest.name, digest.outcome) == ("sha256", "passed")
    assert same == list(lines_of(plain, ValidationRules()).values())


def test_a_picture_too_large_is_never_decoded() -> None:
    """The limit of pixels applies before decoding."""
    image = replace(IMAGE, measures={}, width=8000, height=6000, reason=Reason.TOO_MANY_PIXELS)
    lines = lines_of(image, ValidationRules(max_pixels=1000))
    assert (lines["pixels"].outcome, lines["decodes"].outcome) == ("failed", "not_reached")


def test_an_image_that_was_not_judged_has_no_checks() -> None:
    """There is nothing to tell."""
    assert check_lines(IMAGE, ValidationRules()) == []


KEPT = StoredImage(
    3,
    "ds_1",
    "job_1",
    "c",
    "http://h/k.jpg",
    "list",
    ImageState.KEPT,
    sha256="a" * 64,
    size_bytes=9000,
    width=800,
    height=600,
    phash="f" * 16,
)


OTHER = replace(KEPT, id=7, url="http://h/o.jpg", state=ImageState.DUPLICATE, reason=Reason.DUPLICATE_NEAR, sha256="b" * 64, duplicate_of=3)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"width": 640, "height": 480}, "the other has more pixels (800x600 against 640x480)"),
        ({"size_bytes": 4000}, "the other has more bytes for the same number of pixels (9.0 kB against 4.0 kB)"),
        ({"size_bytes": 8999}, "the other has more bytes for the same number of pixels (9.0 kB against 9.0 kB)"),
        ({}, "equal in pixels and bytes, the other was found first"),
        ({"id": 1}, "the kept image has changed since"),
        ({"width": 1600}, "the kept image has changed since: it has fewer pixels (800x600 against 1600x600)"),
    ],
)
def test_why_kept(values: dict[str, int], words: str) -> None:
    """Pixels, then bytes, then who came first; where none of them says so, it is not made up."""
    if values == {"size_bytes": 8999}:
        words = words.replace("9.0 kB against 9.0 kB", "9 000 against 8 999").replace("9.0 kB", "9 000")
    assert why_kept(replace(OTHER, **values), KEPT) == words


def test_a_label_goes_before_size() -> None:
    """A copy without a label is the duplicate, however large; an image that a job or a search labels has one."""
    large = replace(OTHER, width=1600, label=None)
    assert why_kept(large, replace(KEPT, label="cat"), is_labelled=False) == "the other has a label"
    assert "fewer pixels" in why_kept(large, replace(KEPT, label="cat"), is_labelled=True)
    assert "fewer pixels" in why_kept(large, replace(KEPT, label=None), is_labelled=False)


@pytest.mark.parametrize("values", [{"width": 640}, {"size_bytes": 4000}, {}])
def test_dedupe_keeps_the_one_that_the_words_say(values: dict[str, int]) -> None:
    """The words give the reason of the code that decided."""
    images = [KEPT, replace(OTHER, **values)]
    items = [Fingerprint(i.id, i.state, str(i.sha256), i.phash, (i.width or 0) * (i.height or 0), i.size_bytes or 0) for i in images]
    assert find_near(items, 6)[7].kept_id == 3
    assert "changed since" not in why_kept(images[1], KEPT)


def test_near_tells_distance_and_limit() -> None:
    """Bits that differ, and how many may."""
    near = Duplicate(replace(OTHER, phash="f" * 15 + "0"), KEPT, 6)
    assert near.words().startswith("of image 3, http://h/k.jpg: differs in 4 of 64 bits, limit 6; ")
    assert Duplicate(replace(OTHER, phash=None), KEPT, 6).distance is None
    assert "an unknown number of bits" in Duplicate(replace(OTHER, phash=None), KEPT, 6).words()


def test_exact_tells_whose_bytes_it_has() -> None:
    """The same bytes as what is kept, or as one that was itself a near duplicate of it."""
    exact = replace(OTHER, reason=Reason.DUPLICATE_EXACT, phash="f" * 15 + "e")
    assert "the same bytes; " in Duplicate(replace(exact, sha256=KEPT.sha256), KEPT, 6).words()
    assert "the same bytes as a near duplicate of it, which differs in 1 of 64 bits, limit 6" in Duplicate(exact, KEPT, 6).words()


def test_an_original_that_fell_out_later_is_said_to_have() -> None:
    """What stands in the row now counts."""
    assert "of image 3 (now rejected), " in Duplicate(OTHER, replace(KEPT, state=ImageState.REJECTED), 6).words()

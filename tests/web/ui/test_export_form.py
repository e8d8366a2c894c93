import pytest
from starlette.datastructures import FormData

from app.web.ui.export_form import fields_of, place_of_error, read


def test_what_is_typed_is_kept_but_for_the_token() -> None:
    """Formats besides the first are one text."""
    form = FormData([("export_format", " files "), ("also", "csv"), ("also", "jsonl"), ("csrf_token", "secret"), ("where", "")])
    assert fields_of(form) == {"export_format": "files", "where": "", "also": "csv jsonl"}


def test_empty_fields_ask_for_nothing() -> None:
    """The images stay as the dataset has them."""
    fields = dict.fromkeys(("where", "max_per_label", "quality", "size", "destination"), "") | {"encode": "keep", "resize": "none"}
    body, problems = read({"export_format": "files"} | fields)
    assert problems == {}
    assert body is not None
    assert body.model_dump(exclude_unset=True, exclude={"also", "balance", "overwrite", "private"}) == {"export_format": "files"}
    assert (body.also, body.balance, body.overwrite, body.private, body.compression) == ([], False, False, True, None)


def test_fields_become_a_request() -> None:
    """The quality and the size count where something is encoded or resized."""
    fields = {"export_format": "webdataset", "also": "csv", "encode": "webp", "quality": "80", "resize": "longest", "size": "256"}
    boxes = dict.fromkeys(("balance", "enlarge", "overwrite", "public"), "yes")
    texts = {"where": "label = cat", "max_per_label": "5", "captions": "all", "destination": "s3://b/p"}
    body, _ = read(fields | boxes | texts)
    assert body is not None
    assert body.compression is not None
    assert body.compression.model_dump() == {"format": "webp", "level": 80, "resize": "longest", "size": 256, "only_if_bigger": False}
    assert (body.also, body.where, body.max_per_label, body.captions, body.destination) == (["csv"], "label = cat", 5, "all", "s3://b/p")
    assert (body.balance, body.overwrite, body.private) == (True, True, False)
    unused, _ = read({"export_format": "files", "quality": "80", "size": "many"})
    assert unused is not None
    assert unused.compression is None


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"export_format": "zip"}, "export_format", "must be files"),
        ({}, "export_format", "is required"),
        ({"export_format": "files", "also": "zip"}, "also", "must be files"),
        ({"export_format": "files", "max_per_label": "few"}, "max_per_label", "whole number"),
        ({"export_format": "files", "max_per_label": "0"}, "max_per_label", "at least 1"),
        ({"export_format": "files", "encode": "webp", "quality": "101"}, "quality", "at most 100"),
        ({"export_format": "files", "resize": "border", "size": "x"}, "size", "whole number"),
        ({"export_format": "files", "encode": "bmp"}, "encode", "must be keep"),
        ({"export_format": "files", "encode": "avif", "resize": "border", "size": "16384"}, "size", "at most"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(fields: dict[str, str], place: str, words: str) -> None:
    body, problems = read(fields)
    assert body is None
    assert words in problems[place]


def test_messages_name_their_field() -> None:
    """Those of later checks; others belong to the whole form."""
    assert place_of_error("where: position 8: the selection ends") == "where"
    assert place_of_error("destination s3://b is not allowed here") == "destination"
    assert place_of_error("the dataset is gone") == ""

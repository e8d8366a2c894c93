"""What a file holds, beside what its name says."""

import gzip
import io
import zipfile

import pytest
import zstandard

from app.discovery.lists import contents

CSV = b"url,label\nhttps://example.org/1,cat\n"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return file.getvalue()


def encrypted() -> bytes:
    body = bytearray(zipped("list.csv"))
    body[6] |= 1
    return bytes(body)


@pytest.mark.parametrize(
    ("head", "words", "way_out"),
    [
        (b"<!doctype html><p>404", "HTML or XML", "the page of an error"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "a spreadsheet", "save it as .csv"),
        (zipped("list.csv"), "a ZIP archive", "unpack it"),
        (encrypted(), "an encrypted ZIP archive", "with its password"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (xls)", "save it as .csv"),
        (b"list.csv".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", "unpack it"),
        (b"BZh91AY", "bzip2 data", "unpack it"),
        (b"\xfd7zXZ\0", "xz data", "unpack it"),
        (b"PARE", "encrypted Parquet", "decrypt it"),
        (b"SQLite format 3\0", "an SQLite database", "export it"),
        (b"\x80\x04\x95\0", "a Python pickle", "export it"),
        (b"\x89PNG\r\n", "a PNG image", "it is no list"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"),
        (CSV.decode().encode("utf-16-le"), "UTF-16 without its byte order mark", "save it as UTF-8"),
        (CSV.decode().encode("utf-16-be"), "UTF-16 without its byte order mark", "save it as UTF-8"),
        (gzip.compress(b"<html>", mtime=0), "HTML or XML packed with gzip", "the page of an error"),
    ],
)
def test_contradiction_when_it_is_no_list(head: bytes, words: str, way_out: str) -> None:
    """What is no list is named, with the way to one, whatever the name says."""
    content = contents.recognise(head)
    for suffix in (".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".csv.gz"):
        found = contents.contradiction(content, suffix)
        assert found is not None
        assert found.startswith(f"holds {words}, not ")
        assert way_out in found


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (CSV, ".csv"),
        (b"\xef\xbb\xbf" + CSV, ".csv"),
        (CSV.decode().encode("utf-16"), ".csv"),
        (CSV.replace(b",", b";"), ".csv"),
        (CSV.replace(b",", b"\t"), ".tsv"),
        (b'[\n {"url": 1}]', ".json"),
        (b'{"url": "https://example.org"}\n{"url": ', ".jsonl"),
        (b"PAR1\x15", ".parquet"),
        (gzip.compress(CSV * 9000, mtime=0)[:500], ".csv.gz"),
        (zstandard.compress(CSV), ".csv.zst"),
        (b"https://example.org/a,b.jpg\n", ".txt"),
    ],
)
def test_recognise_when_it_is_a_list(head: bytes, suffix: str) -> None:
    """Its format is that of its name: nothing contradicts it, and no hint is given."""
    content = contents.recognise(head)
    assert content is not None
    assert content.suffix == suffix
    assert contents.contradiction(content, suffix) is None
    assert contents.hint(content, suffix) is None


@pytest.mark.parametrize(
    "head", [b"cat\ndog\n", b"# urls\nhttps://example.org\n", b"<cat>,url\n", b"{cat\n", b"[note] list\n", b"a,b\n1,2\n"]
)
def test_contradiction_when_in_doubt(head: bytes) -> None:
    """Text that may be anything is read as its name says; a hint comes only if that fails."""
    for suffix in (".txt", ".csv", ".tsv", ".json", ".jsonl"):
        assert contents.contradiction(contents.recognise(head), suffix) is None


def test_recognise_when_packed_data_is_broken() -> None:
    """It is packed data, of what is not known: its own name is right."""
    for head, suffix in ((b"\x1f\x8b\x08\0\0\0\0\0\0\3\xff\xff", ".gz"), (b"\x28\xb5\x2f\xfd\xff\xff\xff", ".zst")):
        content = contents.recognise(head)
        assert contents.contradiction(content, f".csv{suffix}") is None
        assert contents.hint(content, ".csv") is not None
    assert contents.recognise(b"") is None


def test_hint_when_it_seems_to_be_one_object() -> None:
    """An object over several lines is no list of objects."""
    content = contents.recognise(b'{\n "images": []\n}')
    assert contents.hint(content, ".csv") == "the list looks like one JSON object: a list is an array of objects or has one object a line"

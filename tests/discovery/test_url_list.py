"""Lists of every kind, from name to candidates."""

import errno
import gzip
import io
import json
import re
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import errors
from app.discovery import url_list
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

URLS = [f"https://example.org/{n}.jpg" for n in range(20)]


def parquet(urls: list[str]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"url": urls}), file, row_group_size=6)
    return file.getvalue()


FORMS = {
    ".txt": "".join(f"{url}\n" for url in URLS).encode(),
    ".csv": ("url,n\n" + "".join(f"{url},1\n" for url in URLS)).encode(),
    ".tsv": ("n\turl\n" + "".join(f"1\t{url}\n" for url in URLS)).encode(),
    ".json": json.dumps([{"url": url} for url in URLS]).encode(),
    ".jsonl": "".join(json.dumps({"url": url}) + "\n" for url in URLS).encode(),
    ".parquet": parquet(URLS),
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def spec(suffix: str, **columns: str) -> ListSpec:
    return ListSpec(key="lists/1", suffix=suffix, **columns)


def saved(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"list{suffix}"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", [form for form in FORMS if form != ".parquet"])
def test_read_when_lines_end_in_cr_or_text_is_utf16(tmp_path: Path, form: str) -> None:
    """Old spreadsheets end lines with CR alone, others write UTF-16: no two lines become one, no line is lost."""
    for data in (FORMS[form].replace(b"\n", b"\r"), FORMS[form].replace(b"\n", b"\r\n").decode().encode("utf-16")):
        found = list(url_list.read(saved(tmp_path, form, data), spec(form)))
        assert [item.url for item in found if isinstance(item, Candidate)] == URLS


def test_every_suffix_is_tested() -> None:
    """No kind goes untested."""
    assert {form + packing for form in FORMS for packing in PACKINGS} == set(url_list.SUFFIXES)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
def test_read_when_any_kind(tmp_path: Path, form: str, packing: str) -> None:
    """Every kind gives the same candidates, and going on after any number of items gives the rest."""
    path = saved(tmp_path, form + packing, PACKINGS[packing](FORMS[form]))
    found = list(url_list.read(path, spec(form + packing)))
    assert [item.url for item in found if isinstance(item, Candidate)] == URLS
    assert [item.rank for item in found if isinstance(item, Candidate)] == list(range(20))
    for skip in (1, 6, 7, 19, 20, 99):
        assert list(url_list.read(path, spec(form + packing), skip=skip)) == found[skip:]
    inspection = url_list.inspect(path, spec(form + packing))
    assert (inspection.rows, inspection.usable, inspection.problems) == (20, 20, ())


@pytest.mark.parametrize("form", [form for form in FORMS if form != ".parquet"])
def test_read_when_resumed_after_problems(tmp_path: Path, form: str) -> None:
    """Problems count as items, so the number of items taken is the position."""
    data = FORMS[form].replace(b"https://example.org/3.jpg", b"nonsense").replace(b"https://example.org/9.jpg", b"\xff")
    path = saved(tmp_path, form, data)
    found = list(url_list.read(path, spec(form)))
    assert len(found) == 20
    assert [number for number, item in enumerate(found) if isinstance(item, ListProblem)] == [3, 9]
    for skip in range(21):
        assert list(url_list.read(path, spec(form), skip=skip)) == found[skip:]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_read_when_packed_data_is_cut_off(tmp_path: Path, form: str, packing: str) -> None:
    """One last problem tells of it, once: it is an item like any other."""
    packed = PACKINGS[packing](FORMS[form])
    path = saved(tmp_path, form + packing, packed[: len(packed) - 20])
    found = list(url_list.read(path, spec(form + packing)))
    assert isinstance(found[-1], ListProblem)
    assert "damaged or cut off" in found[-1].message
    assert sum(isinstance(item, ListProblem) for item in found) == 1
    assert list(url_list.read(path, spec(form + packing), skip=len(found) - 1)) == found[-1:]
    assert list(url_list.read(path, spec(form + packing), skip=len(found))) == []


@pytest.mark.parametrize("suffix", ["txt", ".TXT", "ndjson"])
def test_read_when_suffix_is_spelt_otherwise(tmp_path: Path, suffix: str) -> None:
    """A suffix counts without its dot, in any case, and by its other names."""
    data = b'"https://example.org/1"' if suffix == "ndjson" else b"https://example.org/1"
    assert len(list(url_list.read(saved(tmp_path, ".x", data), spec(suffix)))) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("urls.txt", ".txt"),
        (Path("/a.b/LAION.Parquet"), ".parquet"),
        ("x.csv.gz", ".csv.gz"),
        ("x.NDJSON.zst", ".jsonl.zst"),
        ("x.tab", ".tsv"),
        (".txt", ".txt"),
    ],
)
def test_sniff_when_known(name: str | Path, expected: str) -> None:
    """The name tells the kind."""
    assert url_list.sniff(name) == expected


@pytest.mark.parametrize("name", ["urls", "urls.gz", "urls.xlsx", "urls.txt.bz2", "", "."])
def test_sniff_when_unknown(name: str) -> None:
    """The error names the kinds there are."""
    with pytest.raises(errors.ConfigurationError, match=r"\.txt, \.csv, .*\.parquet"):
        url_list.sniff(name)


@pytest.mark.parametrize("form", FORMS)
def test_inspect_when_empty(tmp_path: Path, form: str) -> None:
    """A list without a row is refused by its path."""
    data = {".csv": b"url\n", ".tsv": b"url\n", ".json": b"[]", ".txt": b"# nothing\n\n", ".parquet": parquet([])}.get(form, b"\n")
    if form == ".parquet":
        file = io.BytesIO()
        pq.write_table(pa.table({"url": pa.array([], pa.string())}), file)
        data = file.getvalue()
    with pytest.raises(errors.ConfigurationError, match=rf"list\{form} is empty"):
        url_list.inspect(saved(tmp_path, form, data), spec(form))


@pytest.mark.parametrize("form", [*FORMS, ".txt.gz", ".csv.zst"])
def test_inspect_when_file_has_no_byte(tmp_path: Path, form: str) -> None:
    """An empty file is refused, whatever its name."""
    for data in (b"", b" \n\n"):
        with pytest.raises(errors.ConfigurationError, match="is empty"):
            url_list.inspect(saved(tmp_path, form, data), spec(form))


def test_inspect_when_there_is_no_list(tmp_path: Path) -> None:
    """No file, a directory and a device are named as such."""
    with pytest.raises(errors.ConfigurationError, match=r"gone\.txt cannot be read: No such file"):
        url_list.inspect(tmp_path / "gone.txt", spec(".txt"))
    with pytest.raises(errors.ConfigurationError, match="is a directory"):
        url_list.inspect(tmp_path, spec(".txt"))
    with pytest.raises(errors.ConfigurationError, match="no regular file"):
        url_list.inspect(Path("/dev/null"), spec(".txt"))
    with pytest.raises(errors.ConfigurationError, match="does not end in one of"):
        url_list.inspect(saved(tmp_path, ".txt", b"x"), spec(".doc"))


def test_inspect_when_garbage(tmp_path: Path) -> None:
    """The error names the path and the first line that was tried."""
    with pytest.raises(errors.ConfigurationError, match=r"list\.txt holds no usable URL in its first 2 rows; the first: .*line 1: 'cat'"):
        url_list.inspect(saved(tmp_path, ".txt", b"cat\ndog\n"), spec(".txt"))


@pytest.mark.parametrize("content", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_inspect_when_the_name_says_another_format(tmp_path: Path, form: str, content: str) -> None:
    """The error says what the file holds and how to have it read; done so, it is read. No hint contradicts the file."""
    path = saved(tmp_path, form, FORMS[content])
    if form == content or (form, content) in {(".csv", ".tsv"), (".json", ".jsonl")}:
        assert url_list.inspect(path, spec(form)).usable == len(URLS)
        return
    with pytest.raises(errors.ConfigurationError, match=rf"rename it to end in \{content}, or add --list-format {content[1:]}$"):
        url_list.inspect(path, spec(form))
    assert url_list.inspect(path, spec(content)).usable == len(URLS)


@pytest.mark.parametrize(
    ("form", "data", "words"),
    [
        (".txt", b"url,caption\nhttp://a.org/1,x\n", "stdin holds CSV, not plain text; add --list-format csv"),
        (".csv", b'{"url": "http://a.org/1"', r"stdin .*; the list looks like JSON lines: add --list-format jsonl"),
        (".txt", b"cat\n", "stdin holds no usable URL in its first 1 rows; .*"),
        (".txt", b"\n", "stdin is empty: .*"),
        (".csv", b"a,b\n1,2\n", "stdin has no column with URLs; .*"),
    ],
)
def test_inspect_when_the_list_has_no_path(tmp_path: Path, form: str, data: bytes, words: str) -> None:
    """The message has the given words for it, no path of ours, and no name to change."""
    with pytest.raises(errors.ConfigurationError) as caught:
        url_list.inspect(saved(tmp_path, form, data), spec(form), where="stdin")
    assert re.fullmatch(words, str(caught.value))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("form", [".txt", ".csv", ".csv.gz", ".jsonl", ".parquet"])
@pytest.mark.parametrize("content", [".csv.zst", ".jsonl.gz", ".parquet.gz"])
def test_inspect_when_the_name_says_another_packing(tmp_path: Path, form: str, content: str) -> None:
    """Packed data is named with what is in it."""
    stem, packing = content.rsplit(".", 1)
    path = saved(tmp_path, form, PACKINGS[f".{packing}"](FORMS[stem]))
    with pytest.raises(errors.ConfigurationError, match=rf"holds .* packed with .*; rename it to end in \{content}, or add"):
        url_list.inspect(path, spec(form))


def test_inspect_when_packed_garbage(tmp_path: Path) -> None:
    """Packed data that breaks off, or was never packed, says so."""
    with pytest.raises(errors.ConfigurationError, match="damaged or cut off here"):
        url_list.inspect(saved(tmp_path, ".txt.gz", gzip.compress(FORMS[".txt"])[:12]), spec(".txt.gz"))
    with pytest.raises(errors.ConfigurationError, match="holds plain text, not plain text packed with gzip"):
        url_list.inspect(saved(tmp_path, ".txt.gz", FORMS[".txt"]), spec(".txt.gz"))


def test_inspect_when_a_parquet_file_is_cut_off(tmp_path: Path) -> None:
    """A file that begins as Parquet is called that, by its own name and by another."""
    cut = FORMS[".parquet"][:-9]
    with pytest.raises(errors.ConfigurationError, match=r"Parquet file that is damaged or cut off; get it again \([^;]*\)$"):
        url_list.inspect(saved(tmp_path, ".parquet", cut), spec(".parquet"))
    with pytest.raises(errors.ConfigurationError, match="holds Parquet, not CSV"):
        url_list.inspect(saved(tmp_path, ".csv", cut), spec(".csv"))


def test_inspect_when_some_rows_are_bad(tmp_path: Path) -> None:
    """One usable URL among the first 1,000 rows is enough; no more than these are read."""
    good = saved(tmp_path, ".txt", b"x\n" * 999 + b"https://example.org\n" * 5000)
    inspection = url_list.inspect(good, spec(".txt"))
    assert (inspection.rows, inspection.usable, len(inspection.problems)) == (1000, 1, 999)
    with pytest.raises(errors.ConfigurationError, match="first 1000 rows"):
        url_list.inspect(saved(tmp_path, ".txt", b"x\n" * 1000 + b"https://example.org\n"), spec(".txt"))


@pytest.mark.parametrize("form", [".csv", ".json", ".jsonl", ".parquet"])
def test_inspect_when_columns_are_missing(tmp_path: Path, form: str) -> None:
    """A named column that is not there, and no column of URLs, name the columns there are."""
    path = saved(tmp_path, form, FORMS[form])
    with pytest.raises(errors.ConfigurationError, match=r"no column 'words' \(caption_column\); its columns are url"):
        url_list.inspect(path, spec(form, caption_column="words"))
    other = saved(tmp_path, form, FORMS[form].replace(b"url", b"abc"))
    with pytest.raises(errors.ConfigurationError, match="has no column with URLs; its columns are abc"):
        url_list.inspect(other, spec(form))
    assert url_list.inspect(other, spec(form, url_column="ABC")).columns[0] == "abc"


PAGES = [
    {
        "photo": {"href": f"https://example.org/{n}.jpg", "alt": f"photo {n}", "by": {"name": "Ann"}, "bytes": "AAAA"},
        "images": [{"src": f"https://example.org/{n}.png", "tags": [{"name": "cat"}, {"name": f"tag {n}"}]}],
        "shop": {"id": n % 2},
        "photo.credit": "the column",
    }
    for n in range(3)
]
"""Rows with objects, and lists of them."""


def nested(rows: list[dict[str, Any]], form: str) -> bytes:
    if form == ".parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file.getvalue()
    return json.dumps(rows).encode() if form == ".json" else b"\n".join(json.dumps(row).encode() for row in rows)


NESTED = (".json", ".jsonl", ".parquet")


@pytest.mark.parametrize("form", NESTED)
def test_read_when_columns_stand_in_objects(tmp_path: Path, form: str) -> None:
    """Every column option takes a dotted name, through lists of objects too; a column that has that very name wins."""
    path = saved(tmp_path, form, nested(PAGES, form))
    named = ListSpec(
        key="lists/1",
        suffix=form,
        url_column="photo.href",
        caption_column="Photo.Alt",
        label_column="images[].tags.name",
        group_column="shop.id",
        keep_columns=["photo.by.name", "photo.credit", "images.src", "photo.by"],
    )
    found = list(url_list.read(path, named))
    assert [item.url for item in found if isinstance(item, Candidate)] == URLS[:3]
    one = found[1]
    assert isinstance(one, Candidate)
    assert (one.caption, one.label, one.labels, one.group_id) == ("photo 1", "cat", ("cat", "tag 1"), "1")
    assert one.extra == {
        "photo.by.name": "Ann",
        "photo.credit": "the column",
        "images.src": '["https://example.org/1.png"]',
        "photo.by": '{"name": "Ann"}',
    }
    assert list(url_list.read(path, named, skip=2)) == found[2:]


@pytest.mark.parametrize("form", NESTED)
@pytest.mark.parametrize(
    ("row", "url"),
    [
        ({"image": {"src": URLS[0], "width": 640}}, URLS[0]),
        ({"image": {"url": URLS[0], "width": 640}, "label": "cat"}, URLS[0]),
        ({"image": {"path": "a.jpg", "width": 640}, "url": URLS[1]}, URLS[1]),
        ({"photo": [{"url": URLS[2]}], "image": {"width": 640}}, URLS[2]),
    ],
)
def test_read_when_url_stands_in_an_object(tmp_path: Path, form: str, row: dict[str, Any], url: str) -> None:
    """A URL inside an object is found by its dotted name, and so is what else has a known one; the object itself is no URL."""
    (found,) = url_list.read(saved(tmp_path, form, nested([row], form)), spec(form))
    assert isinstance(found, Candidate)
    assert (found.url, found.width, found.extra) == (url, 640, {})


@pytest.mark.parametrize("form", NESTED)
def test_inspect_when_a_nested_column_is_missing(tmp_path: Path, form: str) -> None:
    """The error names what there is, inside objects too, the nearest name, and what is likely to be the URL."""
    path = saved(tmp_path, form, nested(PAGES, form))
    for wanted in ({"url_column": "photo.hrefs"}, {"label_column": "photo.hrefs"}, {"keep_columns": ["photo.hrefs"]}):
        with pytest.raises(
            errors.ConfigurationError, match=r"no column 'photo\.hrefs' .*photo\.href, photo\.alt.*nearest is 'photo\.href'"
        ):
            url_list.inspect(path, ListSpec(key="lists/1", suffix=form, **({"url_column": "photo.href"} | wanted)))
    with pytest.raises(errors.ConfigurationError, match=r"its columns are .*photo\.by\.name.*as in url_column 'photo\.href'"):
        url_list.inspect(path, spec(form))
    with pytest.raises(errors.ConfigurationError, match=r"the URL is not text but an object with the keys .*as in photo\.href"):
        url_list.inspect(path, spec(form, url_column="photo"))


@pytest.mark.parametrize("form", NESTED)
def test_read_when_a_row_has_several_urls(tmp_path: Path, form: str) -> None:
    """One URL in a list is the row's; of several none is chosen, and none is no URL."""
    rows = [{"images": [{"src": url} for url in urls]} for urls in (URLS[:1], URLS[:2], [])]
    first, second, third = url_list.read(saved(tmp_path, form, nested(rows, form)), spec(form, url_column="images.src"))
    assert isinstance(first, Candidate)
    assert first.url == URLS[0]
    assert isinstance(second, ListProblem)
    assert second.message == "the URL is not text but a list of 2; write one row for each URL"
    assert isinstance(third, ListProblem)
    assert "no" in third.message


@pytest.mark.parametrize("form", [".jsonl", ".json"])
def test_read_when_objects_differ_from_row_to_row(tmp_path: Path, form: str) -> None:
    """Each row is read by what it holds: an object, a plain URL, null, or a key that the rows before lack."""
    rows = [{"image": None}, {"image": URLS[0]}, {"image": {"alt": "x"}}, {"image": {"url": URLS[1]}}, {"image": {"src": URLS[2]}}]
    found = list(url_list.read(saved(tmp_path, form, nested(rows, form)), spec(form)))
    assert [item.url if isinstance(item, Candidate) else item.message for item in found] == [
        "there is no URL",
        URLS[0],
        "no key holds a URL; the keys are image, image.alt",
        URLS[1],
        URLS[2],
    ]


ANY_BYTES = st.binary(max_size=600) | st.text(alphabet='url,"\n\r\t[]{}:;|#htps/.\\é\x00', max_size=300).map(str.encode)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(
    data=ANY_BYTES,
    form=st.sampled_from([".txt", ".csv", ".tsv", ".json", ".jsonl"]),
    packing=st.sampled_from(["", ".gz", ".zst"]),
    pack=st.booleans(),
)
@example(data=b"url\n" + b'"' * 7, form=".csv", packing="", pack=False)
@example(data=b"[" * 5000, form=".json", packing="", pack=False)
def test_read_when_any_bytes(tmp_path: Path, data: bytes, form: str, packing: str, pack: bool) -> None:
    """No bytes raise anything but ConfigurationError, and resuming always fits."""
    path = saved(tmp_path, ".any", PACKINGS[packing](data) if pack else data)
    try:
        found = list(url_list.read(path, spec(form + packing)))
    except errors.ConfigurationError:
        return
    assert list(url_list.read(path, spec(form + packing), skip=len(found) // 2)) == found[len(found) // 2 :]
    for item in found:
        assert item.line is not None
        assert item.line >= 1
        assert isinstance(item, Candidate) or len(item.text) <= 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.integers(0, len(FORMS[".parquet"]) - 1), st.binary(min_size=1, max_size=8))
def test_read_when_parquet_is_flipped(tmp_path: Path, place: int, noise: bytes) -> None:
    """Damage anywhere in a Parquet file raises nothing but ConfigurationError."""
    data = bytearray(FORMS[".parquet"])
    data[place : place + len(noise)] = noise
    path = saved(tmp_path, ".parquet", bytes(data))
    try:
        found = list(url_list.read(path, spec(".parquet")))
    except errors.ConfigurationError:
        return
    assert all(isinstance(item, Candidate | ListProblem) for item in found)


def test_read_when_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A packed Parquet list needs room to unpack; where there is none it is our fault, not the list's."""
    path = saved(tmp_path, ".parquet.gz", gzip.compress(FORMS[".parquet"]))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(errors.StorageError, match="unpacking a list failed") as caught:
        list(url_list.read(path, spec(".parquet.gz")))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOENT


MESSY = [
    "http://h.test/a b.jpg",
    "//h.test/b.jpg",
    "http://%68.test/c.jpg?a=1&amp;b=2",
    "http://h.test/d.jpg\u200b",
    "\u00a0http:\\\\h.test\\é",
]
"""URLs as people copy them."""


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (".txt", "\n".join(MESSY)),
        (".csv", "url,page_url\n" + "\n".join(f"{url},{MESSY[2]}" for url in MESSY)),
        (".json", json.dumps(MESSY)),
        (".jsonl", "\n".join(json.dumps({"url": url, "page_url": MESSY[2]}) for url in MESSY)),
    ],
)
def test_read_when_urls_are_messy(tmp_path: Path, form: str, data: str) -> None:
    """Every format gives the URLs that are requested."""
    found = [item for item in url_list.read(saved(tmp_path, form, data.encode()), spec(form)) if isinstance(item, Candidate)]
    assert [item.url for item in found] == [
        "http://h.test/a%20b.jpg",
        "https://h.test/b.jpg",
        "http://h.test/c.jpg?a=1&b=2",
        "http://h.test/d.jpg",
        "http://h.test/%C3%A9",
    ]
    assert {item.page_url for item in found} <= {None, "http://h.test/c.jpg?a=1&b=2"}


LONG = b"https://example.org/1.jpg?" + b"x" * 2000
LONG_ROWS = {
    ".txt": (b"", LONG + b"\n", b""),
    ".csv": (b"url,n\n", LONG + b',"1"\n', b""),
    ".json": (b"[", b'{"url":"' + LONG + b'"},', b'"https://example.org/1"]'),
    ".jsonl": (b"", b'{"url":"' + LONG + b'"}\n', b""),
}


@pytest.mark.parametrize("form", LONG_ROWS)
def test_read_when_long_holds_little(tmp_path: Path, form: str) -> None:
    """The length of a list makes no difference to the memory it takes."""
    head, row, tail = LONG_ROWS[form]
    path = saved(tmp_path, form, head + row * 5_000 + tail)
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Candidate) for item in url_list.read(path, spec(form))) >= 5_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 10_000_000
    assert peak < 4_000_000

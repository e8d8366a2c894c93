"""Lists of every kind, from name to candidates."""

import errno
import gzip
import io
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

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
    with pytest.raises(errors.ConfigurationError, match="list"):
        url_list.inspect(saved(tmp_path, form, b""), spec(form))


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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"cat\ndog\n", "does not begin with http"),
        (gzip.compress(b"https://example.org\n" * 99, mtime=0), r"its name should end in \.gz"),
        (zstandard.compress(b"https://example.org\n" * 99), r"its name should end in \.zst"),
        (parquet(URLS), r"its name should end in \.parquet"),
        (b"<!doctype html>\n<p>https://example.org", "HTML"),
        (FORMS[".json"], "a JSON array"),
        (FORMS[".jsonl"], "a JSON object"),
        (b"PK\x03\x04xxxx", "spreadsheet"),
        (b"\x89PNG\r\n\x1a\nxxxx", "a PNG image"),
    ],
)
def test_inspect_when_garbage(tmp_path: Path, data: bytes, words: str) -> None:
    """The error names the path, the first line that was tried, and what the file seems to be."""
    with pytest.raises(errors.ConfigurationError, match=rf"(?s)list\.txt holds no usable URL in its first \d+ rows; the first: .*{words}"):
        url_list.inspect(saved(tmp_path, ".txt", data), spec(".txt"))


def test_inspect_when_packed_garbage(tmp_path: Path) -> None:
    """Packed data that is none gives the reason it cannot be read."""
    with pytest.raises(errors.ConfigurationError, match="damaged or cut off here"):
        url_list.inspect(saved(tmp_path, ".txt.gz", b"https://example.org\n"), spec(".txt.gz"))


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

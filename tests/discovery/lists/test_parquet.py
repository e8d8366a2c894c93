"""Parquet lists."""

import io
import sys
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import errors
from app.discovery.lists import parquet
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

SPEC = ListSpec(key="k", suffix=".parquet")


def packed(columns: dict[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def items(data: bytes, skip: int = 0) -> list[tuple[int, Candidate | ListProblem]]:
    table = parquet.table(io.BytesIO(data), SPEC, "the list x", skip=skip)
    return [(rank, payload if isinstance(payload, ListProblem) else table.build(payload, line, rank)) for rank, line, payload in table.rows]


URLS = [f"https://example.org/{n}.jpg" for n in range(1000)]


def test_rows_when_columns_are_laion() -> None:
    """Columns of bytes that nobody named are not read; a row's line is its number."""
    data = packed({"similarity": [0.1, 0.2], "URL": URLS[:2], "TEXT": ["cat", None], "WIDTH": [640, None], "blob": [b"\x00" * 99, None]})
    assert items(data) == [
        (0, Candidate(URLS[0], "list", 0, caption="cat", width=640, line=1, extra={"similarity": 0.1})),
        (1, Candidate(URLS[1], "list", 1, line=2, extra={"similarity": 0.2})),
    ]


def test_rows_when_columns_have_every_type() -> None:
    """Times and decimals are text, to the last digit; numbers, dictionaries and booleans their values; lists, maps and bytes left out."""
    data = packed(
        {
            "url": URLS[:1],
            "captions": [["a", "b"]],
            "label": pa.array([0.0]),
            "at": pa.array([1_001], pa.timestamp("ns")),
            "day": pa.array([0], pa.date32()),
            "price": pa.array([Decimal("1.50")]),
            "kind": pa.array(["x"]).dictionary_encode(),
            "id": pa.array([2**63 + 1], pa.uint64()),
            "big": pa.array([2**53 + 1]),
            "ok": [True],
            "half": pa.array([0.5], pa.float32()).cast(pa.float16()),
            "uuid": pa.array([bytes(16)], pa.uuid()),
            "none": pa.array([None]),
            "gap": [float("nan")],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "box": [[1, 2]],
            "point": [{"x": 1}],
        }
    )
    ((_, found),) = items(data)
    assert isinstance(found, Candidate)
    assert (found.label, found.caption, found.captions) == ("0", "a", ("a", "b"))
    assert found.extra == {
        "at": "1970-01-01 00:00:00.000001001",
        "day": "1970-01-01",
        "price": "1.50",
        "kind": "x",
        "id": str(2**63 + 1),
        "big": 2**53 + 1,
        "ok": True,
        "half": 0.5,
        "uuid": "00000000-0000-0000-0000-000000000000",
    }
    table = parquet.table(io.BytesIO(data), SPEC, "the list x")
    assert table.left_out == {"map", "box", "point"}
    named = parquet.table(io.BytesIO(data), SPEC.model_copy(update={"keep_columns": ["box", "point"]}), "the list x")
    ((rank, line, values),) = named.rows
    found = named.build(values, line, rank)
    assert isinstance(found, Candidate)
    assert found.extra == {"box": "[1, 2]", "point": '{"x": 1}'}


def test_rows_when_floats_are_short() -> None:
    """A float of 32 bits is the number that it prints, as a label and as a further column."""
    shorts = [0.1, 2.0, 3e-8, -0.25, float("nan"), None, float("inf")]
    data = packed(
        {
            "url": [f"http://a.org/{n}" for n in range(len(shorts))],
            "label": pa.array(shorts, pa.float32()),
            "score": pa.array(shorts, pa.float32()),
        }
    )
    found = [item for _, item in items(data) if isinstance(item, Candidate)]
    assert [item.label for item in found] == ["0.1", "2", "3e-08", "-0.25", None, None, None]
    assert [item.extra.get("score") for item in found] == [0.1, 2.0, 3e-8, -0.25, None, None, None]


def test_rows_when_objects_have_gaps() -> None:
    """A value inside an object is read as one in a column; a missing object is a missing value."""
    kind = pa.struct([("url", pa.string()), ("score", pa.float32()), ("at", pa.timestamp("ns"))])
    rows = [{"url": URLS[0], "score": 0.1, "at": None}, None, {"url": None}]
    data = packed(
        {"image": pa.array(rows, kind), "photos": pa.array([[{"at": 1}], None, []], pa.large_list(pa.struct([("at", pa.int8())])))}
    )
    wanted = SPEC.model_copy(update={"keep_columns": ["image.score", "image.at", "photos.at"]})
    table = parquet.table(io.BytesIO(data), wanted, "the list x")
    found = [table.build(values, line, rank) for rank, line, values in table.rows]
    assert found[0] == Candidate(URLS[0], "list", 0, line=1, extra={"image.score": 0.1, "photos.at": "[1]"})
    assert [item.message for item in found if isinstance(item, ListProblem)] == ["there is no URL"] * 2


def test_rows_when_skipping() -> None:
    """Row groups that were read already are not opened; rank and line go on."""
    found = items(packed({"url": URLS}, row_group_size=100), skip=250)
    assert found[0] == (200, Candidate(URLS[200], "list", 200, line=201))
    assert len(found) == 800


def test_rows_when_values_are_odd() -> None:
    """Nothing, bytes, bad bytes and nested values cost their own row."""
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\x02\0\0\0\x13\0\0\0"), pa.py_buffer(b"\xff\xfehttp://a.org/x/yz"))
    found = [item for _, item in items(packed({"url": bad}))]
    assert isinstance(found[0], ListProblem)
    assert isinstance(found[1], Candidate)
    (nothing, good) = [item for _, item in items(packed({"url": [None, b"https://example.org/1"]}))]
    assert isinstance(nothing, ListProblem)
    assert isinstance(good, Candidate)
    ((_, nested),) = items(packed({"url": [["https://example.org/1", "https://example.org/2"]]}))
    assert isinstance(nested, ListProblem)


def test_rows_when_a_column_stands_twice() -> None:
    """The first of two columns with one name is read, the other kept."""
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(URLS[:1]), pa.array(["x"])], names=["url", "url"]), file)
    assert items(file.getvalue()) == [(0, Candidate(URLS[0], "list", 0, line=1, extra={"url": "x"}))]


def test_rows_when_a_row_group_is_damaged() -> None:
    """Damage ends the list with one problem at its place, also when resumed there."""
    data = bytearray(packed({"url": URLS}, row_group_size=500, compression="zstd", use_dictionary=False))
    start = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 200] = b"\xff" * 200
    found = items(bytes(data))
    assert len(found) == 501
    rank, problem = found[-1]
    assert (rank, problem.line) == (500, 501)
    assert isinstance(problem, ListProblem)
    assert "row group 2 is damaged" in problem.message
    assert [rank for rank, _ in items(bytes(data), skip=500)] == [500]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no Parquet file"),
        (b"no parquet", "is no Parquet file"),
        (b"PAR1" + b"\x00" * 40 + b"PAR1", "is a Parquet file that is damaged or cut off"),
        (packed({"url": ["https://example.org/1"]})[:-5], "is a Parquet file that is damaged or cut off"),
    ],
)
def test_table_when_it_cannot_be_read(data: bytes, words: str) -> None:
    """The error says whether it is none or a broken one."""
    with pytest.raises(errors.ConfigurationError, match=f"the list x {words}"):
        items(data)


def test_table_when_url_column_is_missing() -> None:
    """The error names the columns there are."""
    with pytest.raises(errors.ConfigurationError, match="its columns are id, name"):
        items(packed({"id": [1], "name": ["x"]}))


def test_table_when_pyarrow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(errors.ConfigurationError, match=r"install pictrawl\[parquet\]"):
        items(packed({"url": URLS[:1]}))


def test_rows_when_the_disk_fails() -> None:
    """A disk that fails is ours, not the list's."""

    class Failing(io.BytesIO):
        is_failing = False

        def read(self, size: int | None = -1, /) -> bytes:
            if self.is_failing:
                raise OSError(5, "Input/output error")
            return super().read(size)

    file = Failing(packed({"url": URLS}))
    table = parquet.table(file, SPEC, "the list x")
    file.is_failing = True
    with pytest.raises(errors.StorageError, match="row group 1"):
        list(table.rows)

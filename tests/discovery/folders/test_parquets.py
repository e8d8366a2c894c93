"""Tests of app.discovery.folders.parquets: rows without their images, images by their rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.discovery.folders import parquets
from tests.discovery.folders.trees import hugging_face_table, jpeg


def rows(path: Path, skip: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a table of images."""
    with parquets.open_table(str(path)) as table:
        assert table is not None
        return list(parquets.rows(table, skip))


def images(path: Path, wanted: set[int]) -> dict[int, bytes | None]:
    """The images of some rows."""
    with parquets.open_table(str(path)) as table:
        assert table is not None
        return dict(parquets.read_images(table, wanted))


@pytest.mark.parametrize("skip", range(9))
def test_rows_are_read_from_any_on(tmp_path: Path, skip: int) -> None:
    """Labels by their names, -1 as none, without the images; over the borders of row groups."""
    path = hugging_face_table(tmp_path / "train-00000-of-00001.parquet", range(8))
    labels = [None, "cat", "dog"]
    expected = [(number, {"label": labels[number % 3], "text": f"picture {number}"}) for number in range(8)]
    assert rows(path, skip) == expected[skip:]


@pytest.mark.parametrize("wanted", [{0}, {7}, {2, 3}, {0, 4, 7}, set(range(8)), set(), {99}])
def test_images_are_read_by_their_rows(tmp_path: Path, wanted: set[int]) -> None:
    """Those that are there."""
    path = hugging_face_table(tmp_path / "0.parquet", range(8))
    assert images(path, wanted) == {number: jpeg(number) for number in wanted if number < 8}


def test_a_large_row_group_is_read_in_parts(tmp_path: Path) -> None:
    """Rows in its middle and at its end."""
    path = hugging_face_table(tmp_path / "0.parquet", range(50), row_group_size=50)
    assert images(path, {3, 20, 49}) == {number: jpeg(number) for number in (3, 20, 49)}


@pytest.mark.parametrize(
    ("columns", "image"),
    [
        ({"url": ["x"], "caption": ["y"]}, None),
        ({"image": ["1.jpg"]}, None),
        ({"picture": [b"x"], "label": [1]}, "picture"),
        ({"thumb": [b"x"]}, None),
        ({"img": [{"bytes": b"x", "path": "1"}]}, "img"),
        ({"odd": [{"bytes": "text"}]}, None),
        ({"jpg": pa.array([b"x"], pa.large_binary())}, "jpg"),
    ],
)
def test_the_column_of_images_is_found(tmp_path: Path, columns: dict[str, Any], image: str | None) -> None:
    """Also where nothing but types and names say so; a list of URLs has none."""
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    with parquets.open_table(str(tmp_path / "0.parquet")) as table:
        assert (table.image if table else None) == image


@pytest.mark.parametrize(
    "metadata", [b"no json", b"[]", b'{"info": {}}', b'{"info": {"features": []}}', b'{"info": {"features": {"image": 1}}}']
)
def test_a_schema_that_is_none_is_passed_over(tmp_path: Path, metadata: bytes) -> None:
    """The types are enough."""
    table = pa.table({"image": [b"x"], "label": [1]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "0.parquet")
    assert rows(tmp_path / "0.parquet") == [(0, {"label": 1})]


def test_a_table_of_nothing_but_images_has_rows(tmp_path: Path) -> None:
    """As many as images; a missing one is none."""
    pq.write_table(pa.table({"image": [b"x", None]}), tmp_path / "0.parquet")
    assert rows(tmp_path / "0.parquet") == [(0, {}), (1, {})]
    assert images(tmp_path / "0.parquet", {0, 1}) == {0: b"x", 1: None}


def test_what_is_whole_of_a_damaged_file_is_read(tmp_path: Path) -> None:
    """Up to the row group that is damaged; a file cut off has no rows at all."""
    path = hugging_face_table(tmp_path / "0.parquet", range(9))
    body = bytearray(path.read_bytes())
    where = pq.ParquetFile(path).metadata.row_group(1).column(2).data_page_offset
    body[where : where + 40] = b"\xff" * 40
    path.write_bytes(body)
    found = []
    with parquets.open_table(str(path)) as table, pytest.raises(parquets.DamagedTable, match="damaged in row group 2"):  # noqa: PT012
        assert table is not None
        for number, _ in parquets.rows(table):
            found.append(number)
    assert found == [0, 1, 2]
    path.write_bytes(body[:-20])
    with pytest.raises(parquets.DamagedTable, match="is no Parquet file, or a damaged one"), parquets.open_table(str(path)):
        pass


@pytest.mark.parametrize("column", ["image", "text"])
def test_a_row_group_that_is_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str) -> None:
    """A few kB may stand for more than the memory holds; the row groups before it are read."""
    monkeypatch.setattr(parquets, "MIN_BYTES", 1_000_000)
    path = tmp_path / "0.parquet"
    columns = {"image": jpeg(1), "text": b"words"}
    plain, bomb = ({name: [value] for name, value in row.items()} for row in (columns, columns | {column: bytes(5_000_000)}))
    with pq.ParquetWriter(path, pa.table(plain).schema, compression="zstd") as file:
        file.write_table(pa.table(plain))
        file.write_table(pa.table(bomb))
    with parquets.open_table(str(path)) as table:
        assert table is not None
        for read in (parquets.rows(table), parquets.read_images(table, {0, 1})):
            assert next(read)[0] == 0
            with pytest.raises(parquets.DamagedTable, match=r"unpacks to 50\d+ bytes in row group 2"):
                next(read)

"""Folders, tars and Parquet files as other tools write them, with images that are nothing but a beginning."""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.unpacked import TarFiles
from app.domain import Candidate, ListProblem
from app.spec import FolderSpec


def jpeg(number: int) -> bytes:
    """Bytes that begin like a JPEG, different for each number."""
    return b"\xff\xd8\xff\xe0" + f"image {number}".encode()


def write(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            file.addfile(info, io.BytesIO(body))
    return path


def img2dataset_row(number: int, **more: Any) -> dict[str, Any]:
    """The JSON of a sample as img2dataset 1.47 writes it."""
    row = {
        "url": f"https://img.example/{number}.jpg",
        "caption": f"picture {number}",
        "key": f"{number:09d}",
        "status": "success",
        "error_message": None,
        "width": 256,
        "height": 192,
        "original_width": 1024,
        "original_height": 768,
        "exif": "{}",
        "sha256": f"{number:064x}",
    }
    return row | more


def img2dataset_shard(path: Path, numbers: Iterable[int], mode: str = "w") -> Path:
    """A shard as img2dataset 1.47 writes it: jpg, json, txt for each sample."""
    members = []
    for number in numbers:
        row = img2dataset_row(number)
        parts = ((".jpg", jpeg(number)), (".json", json.dumps(row).encode()), (".txt", str(row["caption"]).encode()))
        members += [(f"{number:09d}{suffix}", body) for suffix, body in parts]
    return tar(path, members, mode)


def hugging_face_table(path: Path, numbers: Iterable[int], *, row_group_size: int = 3) -> Path:
    """A Parquet file as ``datasets`` 5.2 writes a dataset with images, class labels and captions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = list(numbers)
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
        "text": {"dtype": "string", "_type": "Value"},
    }
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
            ("text", pa.string()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    columns = {
        "image": [{"bytes": jpeg(number), "path": f"{number}.jpg"} for number in numbers],
        "label": [number % 3 - 1 for number in numbers],  # -1 stands for none
        "text": [f"picture {number}" for number in numbers],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path, row_group_size=row_group_size)
    return path


def spec_of(path: Path) -> FolderSpec:
    """What is read: a folder, or one file."""
    if path.is_dir():
        return FolderSpec(path=str(path.resolve()), name=path.name)
    return FolderSpec(path=str(path.parent.resolve()), name=path.name, file=path.name)


def read_all(path: Path, size: int = 1_000_000) -> tuple[list[Candidate], list[ListProblem], FolderReader]:
    """Everything that a folder holds, read in one go or in pages of ``size``."""
    with closing(TarFiles()) as files:
        reader = FolderReader(spec_of(path), files, Cursor())
        items, is_last = reader.read(size)
        while not is_last:
            more, is_last = reader.read(size)
            items += more
    found = [item for item in items if isinstance(item, Candidate)]
    return found, [item for item in items if isinstance(item, ListProblem)], reader


def read_interrupted(path: Path, size: int) -> list[Candidate | ListProblem]:
    """Everything, by a reader that dies after each page; the next one has nothing but the cursor."""
    items: list[Candidate | ListProblem] = []
    cursor: str | None = None
    while True:
        with closing(TarFiles()) as files:
            reader = FolderReader(spec_of(path), files, Cursor.decode(cursor))
            found, is_last = reader.read(size)
        items += found
        cursor = reader.cursor.encode()
        if is_last:
            return items

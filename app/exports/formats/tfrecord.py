"""``tfrecord``: shards of ``tf.train.Example`` messages for TensorFlow, written without it. One message is an image with its row."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson

from app.domain import Sample
from app.exports import names, shards, spool, tf_example, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts, HashedFile, hash_bytes
from app.exports.spool import DatasetFacts, class_of
from app.exports.tf_example import Features
from app.exports.verify import Inspection, Row, parse_object

__all__ = ["FEATURES_FILE", "TfRecordExporter", "feature_kinds"]

SUFFIX = "tfrecord"
FEATURES_FILE = "features.json"

NO_CLASS = -1
"""``image/class/label`` of an image without a label, where others have one."""

_LAYOUT = """\
<split>-00000-of-00001.tfrecord    records of tf.train.Example: image/encoded, image/class/label, and a feature for each column
features.json                      the type of each feature, and the names of the classes
"""
_USAGE = """\
import json, tensorflow as tf
known = json.load(open("features.json"))["features"]
spec = {{name: (tf.io.VarLenFeature(tf.as_dtype(kind["dtype"])) if kind["is_list"]
               else tf.io.FixedLenFeature([], tf.as_dtype(kind["dtype"]))) for name, kind in known.items()}}
rows = tf.data.TFRecordDataset(tf.io.gfile.glob("{split}-*.tfrecord")).map(lambda row: tf.io.parse_single_example(row, spec))
images = rows.map(lambda row: tf.io.decode_image(row["image/encoded"], expand_animations=False))
"""
_NOTE = """\
Images are JPEG or PNG; others were converted to PNG, the first frame of several. TensorFlow does not turn an image as its EXIF says, and
`image/width` and `image/height` are those of the upright image: build with an option such as `--encode jpeg:90` where photos come as
cameras write them. Numbers with a fraction have 32 bits."""

_IMAGE_KINDS = {
    "image/encoded": ("string", False),
    "image/filename": ("string", False),
    "image/format": ("string", False),
    "image/height": ("int64", False),
    "image/width": ("int64", False),
}
_CLASS_KINDS = {"image/class/label": ("int64", False), "image/class/text": ("string", False)}
_BOX_KINDS = {f"image/object/bbox/{side}": ("float32", True) for side in ("xmin", "xmax", "ymin", "ymax")}
_BOX_KINDS |= {"image/object/class/text": ("string", True)}
_ELSEWHERE = frozenset({"label", "width", "height", spool.OBJECTS})
"""Columns whose values are in the features of the image."""

_DTYPES = {"bool": "int64", "float64": "float32", "list": "string"}
"""Of a kind of columns that is no type of a feature."""


class TfRecordExporter:
    """Writes and verifies the ``tfrecord`` format."""

    format = "tfrecord"
    extensions = frozenset({"jpg", "png"})
    """``tf.io.decode_image`` reads GIF too, with a dimension more, and BMP, whose palettes it takes for grey."""
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _TfRecordWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


def feature_kinds(facts: DatasetFacts) -> dict[str, tuple[str, bool]]:
    """Every feature that a record may have, with its type and whether it is a list.

    A list is also what may be missing: text is never, but a further column of numbers or truth values is where an image has none.
    """
    columns = {name: kind for name, kind in spool.column_kinds(facts).items() if name not in _ELSEWHERE}
    further = {column.name for column in facts.extra}
    kinds = {name: (_DTYPES.get(kind, kind), kind == "list" or (name in further and kind != "string")) for name, kind in columns.items()}
    kinds |= _IMAGE_KINDS | (_CLASS_KINDS if facts.labels else {}) | (_BOX_KINDS if facts.boxes else {})
    return dict(sorted(kinds.items()))


class _TfRecordWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._folder = folder
        self._facts = facts
        self._shards = shards.ShardSet(folder, options, facts.shards, lambda file: _Shard(file, facts), suffix=SUFFIX)
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE.format(split=facts.shown_split),
            configs={},
            has_image_files=False,
            folders={},
            notes=(_NOTE,),
        )

    def add(self, sample: Sample, body: bytes) -> str:
        return self._shards.add(sample, body)

    def finish(self) -> dict[str, FileFacts]:
        features = {name: {"dtype": dtype, "is_list": is_list} for name, (dtype, is_list) in feature_kinds(self._facts).items()}
        file = HashedFile(self._folder / FEATURES_FILE)
        file.write(orjson.dumps({"features": features, "classes": self._facts.classes}, option=orjson.OPT_INDENT_2) + b"\n")
        return self._shards.finish() | {FEATURES_FILE: file.finish()}

    def abandon(self) -> None:
        self._shards.abandon()


class _Shard:
    def __init__(self, file: HashedFile, facts: DatasetFacts) -> None:
        self._file = file
        self._facts = facts
        self._numbers = {name: number for number, name in enumerate(facts.classes)}

    def add(self, sample: Sample, body: bytes) -> None:
        features = _row_features(sample, self._facts) | _image_features(sample, body)
        if self._facts.labels:
            label = class_of(sample, self._facts)
            features |= {"image/class/label": [self._numbers.get(label or "", NO_CLASS)], "image/class/text": [(label or "").encode()]}
        if sample.boxes:
            features |= _box_features(sample)
        self._file.write(tf_example.encode_record(tf_example.encode_example(features)))

    def finish(self) -> None:
        pass


def _image_features(sample: Sample, body: bytes) -> dict[str, tf_example.Feature]:
    return {
        "image/encoded": [body],
        "image/filename": [names.image_name(sample).encode()],
        "image/format": [sample.media_type.removeprefix("image/").encode()],
        "image/height": [sample.height],
        "image/width": [sample.width],
    }


def _row_features(sample: Sample, facts: DatasetFacts) -> dict[str, tf_example.Feature]:
    """A feature for each column. A missing value is a missing feature: an empty one has no type."""
    features: dict[str, tf_example.Feature] = {}
    for name, value in spool.to_row(sample, facts).items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        if values and name not in _ELSEWHERE:
            features[name] = [item.encode() for item in values] if isinstance(values[0], str) else values
    return features


def _box_features(sample: Sample) -> dict[str, tf_example.Feature]:
    """Boxes as shares of the sides, as TensorFlow's Object Detection API names them."""
    width, height = sample.width or 1, sample.height or 1
    return {
        "image/object/bbox/xmin": [box.x / width for box in sample.boxes],
        "image/object/bbox/xmax": [(box.x + box.width) / width for box in sample.boxes],
        "image/object/bbox/ymin": [box.y / height for box in sample.boxes],
        "image/object/bbox/ymax": [(box.y + box.height) / height for box in sample.boxes],
        "image/object/class/text": [box.label.encode() for box in sample.boxes],
    }


def _inspect(inspection: Inspection) -> Iterator[None]:
    """Read every shard that the manifest lists, a record at a time."""
    classes, kinds = _read_features_file(inspection)
    for path, split in shards.list_shards(inspection, suffix=SUFFIX):
        with inspection.open_file(path) as file:
            if file is None:
                continue
            try:
                for record in tf_example.read_records(file, (inspection.folder / path).stat().st_size):
                    _inspect_example(inspection, path, split, tf_example.decode_example(record), classes, kinds)
                    yield
            except tf_example.DamagedRecord as error:
                inspection.add_problem(f"{path}: {error}")
    inspection.find_unlisted()


def _read_features_file(inspection: Inspection) -> tuple[list[str], Row]:
    """The names of the classes, and what is stated of each feature."""
    classes = sorted(inspection.manifest.mapping("labels"))
    with inspection.open_file(FEATURES_FILE) as file:
        stated = parse_object(file.read() if file else b"") or {}
    kinds = stated.get("features")
    if stated.get("classes") != classes or not isinstance(kinds, dict):
        inspection.add_problem(f"{FEATURES_FILE}: does not state the features and the sorted names of the labels")
    return classes, {name: kind for name, kind in kinds.items() if isinstance(kind, dict)} if isinstance(kinds, dict) else {}


def _inspect_example(inspection: Inspection, path: str, split: str, features: Features, classes: list[str], kinds: Row) -> None:
    body, name = _first(features, "image/encoded"), _value(features, "image/filename")
    if not isinstance(body, bytes) or not isinstance(name, str):
        inspection.add_problem(f"{path}: a record without the bytes or the name of its image")
        return
    where = f"{path}/{name}"
    inspection.count_image(where, hash_bytes(body), _row_of(features), body)
    if wrong := sorted(feature for feature, values in features.items() if _dtype(values) != kinds.get(feature, {}).get("dtype")):
        inspection.add_problem(f"{where}: {wrong[0]} is not of the type that {FEATURES_FILE} states")
    if missing := sorted(feature for feature, kind in kinds.items() if feature not in features and not kind.get("is_list")):
        inspection.add_problem(f"{where}: {missing[0]} is missing")
    number = _first(features, "image/class/label")
    if classes and number != _number_of(features, classes):
        inspection.add_problem(f"{where}: image/class/label is not the number of image/class/text")
    if _value(features, "split") != split:
        inspection.add_problem(f"{where}: is in a shard of another split than its row states")


def _row_of(features: Features) -> Row:
    """The row of the image, of its lists the first value."""
    row = {name: _value(features, name) for name in features if name not in spool.FEATURES}
    sides = {name: _first(features, f"image/{name}") for name in ("width", "height")}
    return row | sides | {"label": _value(features, "image/class/text") or None}


def _number_of(features: Features, classes: list[str]) -> int:
    label = _value(features, "image/class/text")
    return classes.index(label) if label in classes else NO_CLASS


def _first(features: Features, name: str) -> Any:
    values = features.get(name)
    return values[0] if values else None


def _value(features: Features, name: str) -> Any:
    """The first value of a feature, a text as such; None where it is missing."""
    value = _first(features, name)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _dtype(values: tf_example.Feature) -> str | None:
    kinds = {bytes: "string", float: "float32", int: "int64"}
    return kinds.get(type(values[0])) if values else None

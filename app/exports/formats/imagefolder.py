"""``imagefolder``: ``train/<class>/<image>`` with a ``metadata.jsonl`` in each split, for Hugging Face datasets and torchvision."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path

from app.domain import Sample
from app.exports import features, image_files, names, verify, writer
from app.exports.cards import CardParts
from app.exports.exporter import ExportOptions, ExportReport, Load, Read, VerifyReport
from app.exports.hashed_file import FileFacts
from app.exports.spool import DatasetFacts, class_of
from app.split_names import split_by_name

__all__ = ["ImageFolderExporter"]

TORCHVISION_EXTENSIONS = frozenset({"jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"})
"""``IMG_EXTENSIONS`` of ``torchvision.datasets.folder``; files with others are not seen. Hugging Face datasets read all of them."""

_LAYOUT = """\
<split>/metadata.jsonl                     one row per image: file_name, label, licence ...
<split>/<class>/000000_<sha256[:12]>.jpg   without the class folder where an image has no label
"""
_USAGE = """\
from datasets import load_dataset
dataset = load_dataset("path/to/this/folder")
"""
_TORCHVISION = """\
torchvision reads each split on its own: `torchvision.datasets.ImageFolder("path/to/this/folder/train")`. Its classes are the folder
names; the true label of each is under `class_folders` in `manifest.json`."""
_UNLABELLED = "_unlabelled"
"""Folder of images without a label where the split has too many of them for its own; no class has such a name."""

_MANY_UNLABELLED = f"""\
`{_UNLABELLED}` in a split holds its images without a label, which are too many to lie beside the classes. torchvision takes it
for a class."""

_SPLITS_BY_NAME = """\
`load_dataset("imagefolder", data_dir=...)` knows the splits train, validation and test only, by the names of folders, and would drop or
join some of these; `load_dataset("path/to/this/folder")` reads all of them."""


class ImageFolderExporter:
    """Writes and verifies the ``imagefolder`` format."""

    format = "imagefolder"
    extensions = TORCHVISION_EXTENSIONS
    holds_images = True

    async def write(self, samples: AsyncIterator[Sample], read: Read, folder: Path, options: ExportOptions) -> ExportReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await writer.write_export(samples, read, folder, options, _FolderWriter, self.format)

    async def verify(self, folder: Path, report: ExportReport, load: Load | None = None) -> VerifyReport:
        """See :class:`app.exports.exporter.Exporter`."""
        return await verify.verify_folder(folder, report, _inspect, self.extensions, load)


class _FolderWriter:
    def __init__(self, folder: Path, facts: DatasetFacts, options: ExportOptions) -> None:
        self._facts = facts
        self._images = image_files.ImageWriter(folder, options)
        self._most = options.folder_entries
        self._folders = names.class_folders(facts.classes)
        self._metadata = image_files.MetadataFiles(folder, facts, facts.splits)
        self.card = CardParts(
            layout=_LAYOUT,
            usage=_USAGE,
            configs={split: f"{split}/**" for split in facts.splits},
            has_image_files=True,
            folders=self._folders,
            config_features=features.of_rows(facts) if facts.samples else (),
            records=self._metadata.describe(facts.splits),
            notes=(
                *((features.LABEL_NOTE, _TORCHVISION) if facts.labels else ()),
                *features.untyped_note(facts),
                *((_MANY_UNLABELLED,) if self._has_many_unlabelled() else ()),
                *(() if _is_found_by_name(facts.splits) else (_SPLITS_BY_NAME,)),
            ),
        )

    def _has_many_unlabelled(self) -> bool:
        places = ((split, _place(self._facts, self._folders, split, None, self._most)[0]) for split in self._facts.splits)
        return any(where != split for split, where in places)

    def add(self, sample: Sample, body: bytes) -> str:
        label = class_of(sample, self._facts)
        where, entries = _place(self._facts, self._folders, sample.split, label, self._most)
        path = self._images.write(where, sample, body, entries)
        self._metadata.add(sample, sample.split, path.removeprefix(f"{sample.split}/"))
        return path

    def finish(self) -> dict[str, FileFacts]:
        return self._metadata.finish()

    def abandon(self) -> None:
        self._metadata.abandon()


def _place(facts: DatasetFacts, folders: Mapping[str, str], split: str, label: str | None, most: int) -> tuple[str, int]:
    """The folder of an image, and how many entries it would get."""
    labels = facts.split_labels[split]
    if label is not None:
        return f"{split}/{folders[label]}", labels[label]
    images = facts.splits[split] - sum(labels.values())
    entries = images + len(labels) + 1  # beside the classes and metadata.jsonl
    return (split, entries) if entries <= most or not facts.labels else (f"{split}/{_UNLABELLED}", images)


def _is_found_by_name(splits: Collection[str]) -> bool:
    """Whether Hugging Face datasets find each split by the name of its folder, or a single one, whatever its name."""
    found = {split_by_name(split) for split in splits}
    return len(splits) < 2 or (None not in found and len(found) == len(splits))


def _inspect(inspection: verify.Inspection) -> Iterator[None]:
    folders = inspection.manifest.mapping("class_folders")
    for split in inspection.manifest.mapping("splits"):
        for path, row in image_files.read_metadata(inspection, split):
            image_files.inspect_image(inspection, path, row)
            _inspect_place(inspection, path, split, row, folders)
            yield
    image_files.inspect_tree(inspection)


def _inspect_place(inspection: verify.Inspection, path: str, split: str, row: verify.Row, folders: verify.Row) -> None:
    label = row.get("label")
    places = (split, f"{split}/{_UNLABELLED}") if label is None else (f"{split}/{folders.get(str(label))}",)
    if row.get("split") != split or not any(image_files.is_in(path, where) for where in places):
        inspection.add_problem(f"{path}: is not in the folder of its split and label")

"""The loaders that the exports document, as far as they decide what is seen and what fails: their own rules, written down here.

Sources: ``datasets`` 5.2 (``data_files``, ``features``, ``utils.metadata``, ``packaged_modules``),
``torchvision.datasets.folder``, ``webdataset.autodecode`` 1.0.
"""

import io
import json
import tarfile
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageOps

SPLIT_KEYWORDS = {
    "train": ["train", "training"],
    "validation": ["validation", "valid", "dev", "val"],
    "test": ["test", "testing", "eval", "evaluation"],
}
DIR_PATTERNS = ["{keyword}", "{keyword}[{sep}]*", "*[{sep}]{keyword}", "*[{sep}]{keyword}[{sep}]*"]
NON_WORDS_CHARS = "-._ 0-9"
TORCHVISION_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
WEBDATASET_EXTENSIONS = {"jpg", "png", "webp", "gif", "bmp", "tiff", "jpeg", "tif", "ppm"}


def hugging_face_image(body: bytes) -> Image.Image:
    """``Image.decode_example``; every warning is an error, as some trainers set it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(body))
        image.load()
        if image.getexif().get(0x0112) is not None:
            image = ImageOps.exif_transpose(image)
        return image


def pil_loader(body: bytes) -> Image.Image:
    """torchvision's, and webdataset's ``decode("pil")``; only the advice about palettes with transparency is no error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Palette images with Transparency")
        return Image.open(io.BytesIO(body)).convert("RGB")


def splits_by_name(folder: Path) -> dict[str, list[Path]]:
    """``load_dataset("imagefolder", data_dir=folder)``: a file is in each split whose keyword stands in the name of a folder above it."""
    found: dict[str, list[Path]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        above = path.relative_to(folder).parts[:-1]
        for split, keywords in SPLIT_KEYWORDS.items():
            patterns = [pattern.format(keyword=keyword, sep=NON_WORDS_CHARS) for keyword in keywords for pattern in DIR_PATTERNS]
            if any(fnmatchcase(part, pattern) for part in above for pattern in patterns):
                found.setdefault(split, []).append(path)
    return found


def splits_by_card(folder: Path) -> dict[str, list[Path]]:
    """``load_dataset(folder)``: the ``configs`` in the front matter of the card."""
    lines = (folder / "README.md").read_text().splitlines()
    stated = [line.split(": ", 1)[1].strip('"') for line in lines if line.startswith(("  - split: ", "    path: "))]
    pairs = zip(stated[::2], stated[1::2], strict=True)
    return {split: sorted(path for path in folder.glob(f"{pattern}/*") if path.is_file()) for split, pattern in pairs}


def front_matter(folder: Path) -> dict[str, Any]:
    """What the card says in YAML."""
    found: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text().split("---\n", 2)[1])
    return found


def features_by_card(folder: Path, module: str) -> dict[str, Any] | None:
    """``load_dataset(folder)``: the columns as the card states them where the loader reads it; None where it infers them, labels as text.

    The builder of image folders has a parameter ``features``, which a config of the card sets, and overwrites those of ``dataset_info``.
    The builder of WebDataset is created with ``dataset_info`` and fails over an unknown parameter.
    """
    front = front_matter(folder)
    (config,) = front.get("configs", [{}])
    assert module == "imagefolder" or set(config) <= {"config_name", "data_files"}
    stated = config.get("features") if module == "imagefolder" else front.get("dataset_info", {}).get("features")
    return None if stated is None else {feature["name"]: feature.get("dtype", feature) for feature in stated}


def class_number(feature: Any, value: str | int | None) -> int | str | None:
    """``ClassLabel.encode_example``: a name becomes its position, a number must be -1 or one of them; text stays text."""
    if not isinstance(feature, dict):
        return value
    names = list(feature["class_label"]["names"].values())
    assert len(set(names)) == len(names)
    if isinstance(value, int):
        assert -1 <= value < len(names)
        return value
    return None if value is None else names.index(value)


def imagefolder_rows(files: list[Path]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The rows of one split: each image that was found must have one, in the metadata of the split."""
    rows: dict[Path, dict[str, Any]] = {}
    for path in files:
        if path.name == "metadata.jsonl":
            rows |= {path.parent / row["file_name"]: row for row in map(json.loads, path.read_text().splitlines())}
    images = [path for path in files if path.name != "metadata.jsonl"]
    assert sorted(images) == sorted(rows)
    for path in images:
        yield rows[path], path.read_bytes()


def torchvision_samples(split: Path) -> Iterator[tuple[str, Path]]:
    """``ImageFolder(split).samples``: class and path. A class without an image is an error there."""
    for name in sorted(entry.name for entry in split.iterdir() if entry.is_dir()):
        seen = [path for path in sorted((split / name).rglob("*")) if path.name.lower().endswith(TORCHVISION_EXTENSIONS)]
        assert seen, f"Found no valid file for the class {name}"
        yield from ((name, path) for path in seen)


def webdataset_samples(shard: Path) -> Iterator[dict[str, Any]]:
    """``WebDataset(shard).decode("pil")``: members of one key are a sample; an image with another suffix stays bytes."""
    sample: dict[str, Any] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            key, suffix = member.name.split(".", 1)
            if sample and sample["__key__"] != key:
                yield sample
                sample = {}
            file = tar.extractfile(member)
            assert file is not None
            body = file.read()
            sample["__key__"] = key
            sample[suffix] = json.loads(body) if suffix == "json" else pil_loader(body) if suffix in WEBDATASET_EXTENSIONS else body
    if sample:
        yield sample

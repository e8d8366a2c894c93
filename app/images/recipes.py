"""By which rules an image is made from its stored bytes for an export, and the digest that names these rules. Pure; reads no bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final

from app import encoders
from app.domain import EXTENSIONS, MEDIA_TYPES, StoredImage
from app.rules import CompressionRules

__all__ = ["Recipe", "choose_recipe", "digest_of"]

_HEIF: Final = MEDIA_TYPES["heif"]

_LOSSLESS: Final = {"format": "png", "level": 60}
"""What every loader reads, without a loss."""

_ORIGINAL: Final = dict.fromkeys(("out_sha256", "out_media_type", "out_size_bytes", "out_width", "out_height", "changes"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image leaves.

    Attributes:
        image: the image with the stored bytes to begin with, those of the dataset or those that came.
        rules: what is made of these bytes; None where they leave as they are.
        is_conversion: whether that is because the loaders of the format do not read the bytes.
    """

    image: StoredImage
    rules: CompressionRules | None = None
    is_conversion: bool = False

    @property
    def source_sha256(self) -> str:
        """The digest of the stored bytes."""
        return str(self.image.out_sha256 or self.image.sha256)


def choose_recipe(
    image: StoredImage, asked: CompressionRules | None, extensions: frozenset[str] | None, own: CompressionRules | None = None
) -> Recipe:
    """Choose how an image leaves in an export.

    Args:
        image: a kept image.
        asked: the rules of the export, which begin with the bytes that came; None for the images as the dataset has them.
        extensions: of the images that the loaders of the format read; None for all.
        own: the rules of the dataset, for an image that has no form by them yet, since a person keeps it that a check had rejected.
    """
    if asked is None and own is not None and not own.is_identity and image.out_sha256 is None:
        asked = own
    form = image if asked is None else replace(image, **_ORIGINAL)  # type: ignore[arg-type]
    if asked is not None and asked.format != "keep":
        return Recipe(form, asked)
    media_type = form.out_media_type or form.media_type or ""
    if extensions is not None and EXTENSIONS.get(media_type) not in extensions:
        return Recipe(form, _for_loaders(asked or CompressionRules(), media_type), is_conversion=True)
    if asked is None or (asked.is_identity and image.changes is None):  # what needed no repair then needs none now
        return Recipe(form)
    return Recipe(form, asked)


def _for_loaders(rules: CompressionRules, media_type: str) -> CompressionRules:
    """HEIF, which photos are, becomes JPEG without transparency, as `keep` writes it: a photo of 2 MB would be a PNG of 20."""
    return rules if media_type == _HEIF else replace(rules, **_LOSSLESS)  # type: ignore[arg-type]


def digest_of(rules: CompressionRules, versions: Mapping[str, str] | None = None) -> str:
    """Return the digest of everything that decides which bytes rules make of an image.

    Besides the rules these are the versions of our code and of the libraries that decode, convert and encode: another version may give
    other bytes for the same pixels, and a form that it did not make must not be taken for its own.
    """
    unused = {} if rules.resize != "none" else {"size": None, "only_if_bigger": None}
    recipe = {"rules": asdict(rules) | unused, "versions": dict(encoders.versions() if versions is None else versions)}
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()

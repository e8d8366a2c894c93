"""Tests of app.images.recipes: which bytes an export begins with, what is made of them, and what the digest of that covers."""

from dataclasses import replace
from typing import Any

import pytest

from app.domain import ImageState, StoredImage
from app.images.recipes import Recipe, choose_recipe, digest_of
from app.rules import CompressionRules

ALL = frozenset({"jpg", "png", "webp", "gif", "avif"})
FEW = frozenset({"jpg", "png"})
VERSIONS = {"pillow": "13.0.0"}


def image(media_type: str = "image/jpeg", **values: Any) -> StoredImage:
    row = {"id": 7, "dataset_id": "ds", "job_id": "job", "chunk_id": None, "url": "u", "source": "list", "state": ImageState.KEPT}
    return StoredImage(**row | {"sha256": "a" * 64, "media_type": media_type} | values)


RESIZED = image(out_sha256="b" * 64, out_media_type="image/webp", out_size_bytes=9, out_width=3, out_height=2)
REPAIRED = image(out_sha256="c" * 64, out_media_type="image/jpeg", out_size_bytes=9, changes="removed EXIF")


@pytest.mark.parametrize("stored", [image(), image("image/avif"), RESIZED, REPAIRED])
def test_an_image_leaves_as_the_dataset_has_it_unless_it_is_asked_for_otherwise(stored: StoredImage) -> None:
    """Also repaired, or in the form of the build."""
    assert choose_recipe(stored, None, ALL) == Recipe(stored)
    assert choose_recipe(stored, None, None) == Recipe(stored)


@pytest.mark.parametrize("rules", [CompressionRules("webp", 80), CompressionRules(resize="longest", size=64), CompressionRules("avif")])
@pytest.mark.parametrize("stored", [image(), RESIZED, REPAIRED])
def test_what_is_asked_for_is_made_of_the_original(stored: StoredImage, rules: CompressionRules) -> None:
    """Never of a form that was re-encoded already."""
    recipe = choose_recipe(stored, rules, ALL)
    assert (recipe.rules, recipe.source_sha256, recipe.is_conversion) == (rules, "a" * 64, False)
    assert recipe.image == image()


def test_the_originals_leave_as_they_came() -> None:
    """Without another decode, but for those that were repaired: these are repaired again."""
    original = CompressionRules()
    assert choose_recipe(RESIZED, original, ALL) == Recipe(image())
    assert choose_recipe(image(), original, ALL) == Recipe(image())
    assert choose_recipe(REPAIRED, original, ALL) == Recipe(image(), original)


def test_what_loaders_do_not_read_becomes_png_without_a_loss() -> None:
    """HEIF becomes what `keep` makes of it; a resize stays."""
    png = CompressionRules("png", 60)
    assert choose_recipe(image("image/avif"), None, FEW) == Recipe(image("image/avif"), png, is_conversion=True)
    assert choose_recipe(RESIZED, None, FEW) == Recipe(RESIZED, png, is_conversion=True)
    assert choose_recipe(RESIZED, None, FEW).source_sha256 == "b" * 64
    assert choose_recipe(image("image/heif"), None, ALL) == Recipe(image("image/heif"), CompressionRules(), is_conversion=True)
    small = CompressionRules(resize="longest", size=64)
    assert choose_recipe(image("image/webp"), small, FEW).rules == replace(small, format="png", level=60)
    assert choose_recipe(image("image/heif"), small, FEW).rules == small
    assert choose_recipe(image("image/jpeg"), small, FEW) == Recipe(image(), small)


def test_the_digest_covers_rules_and_versions() -> None:
    """Whatever changes the bytes changes it; a size that nothing uses does not."""
    first = digest_of(CompressionRules("webp", 80), VERSIONS)
    assert len(first) == 64
    assert first == digest_of(CompressionRules("webp", 80, size=512, only_if_bigger=False), VERSIONS)
    others = [
        digest_of(CompressionRules("webp", 81), VERSIONS),
        digest_of(CompressionRules("webp-lossless", 80), VERSIONS),
        digest_of(CompressionRules("webp", 80, "longest"), VERSIONS),
        digest_of(CompressionRules("webp", 80, "longest", 512), VERSIONS),
        digest_of(CompressionRules("webp", 80, "longest", 512, False), VERSIONS),
        digest_of(CompressionRules("webp", 80), {"pillow": "13.0.1"}),
        digest_of(CompressionRules("webp", 80)),
    ]
    assert len({first, *others}) == 8


def test_what_the_dataset_has_no_form_of_gets_its_form() -> None:
    """A person keeps it that a check had rejected before it was compressed; one with a form, or a dataset of originals, needs none."""
    own = CompressionRules("webp", 80)
    assert choose_recipe(image(), None, ALL, own) == Recipe(image(), own)
    assert choose_recipe(RESIZED, None, ALL, own) == Recipe(RESIZED)
    assert choose_recipe(image(), None, ALL, CompressionRules()) == Recipe(image())

"""Derives the images of an export from stored bytes, each by its recipe. A form is stored and found again, or made again.

Retry: none here. A run that is repeated makes only the forms that are missing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

import errors
from app import concurrency
from app.db import derived_images
from app.db.rows import DerivedImage
from app.domain import StoredImage
from app.formatting import count
from app.images import recipes
from app.images.recipes import Recipe
from app.rules import CompressionRules
from app.storage import paths
from workers.stages.compress import output_columns, output_of
from workers.stages.decode import decode_batch, put_all, split
from workers.unit import ClaimedUnit, JobContext

__all__ = ["Interrupted", "NotDerived", "Problems", "derive"]

MAX_NAMED = 100
"""Images that an export names, as many as problems that a verification keeps."""


class Interrupted(Exception):
    """The unit was asked to stop before all forms were made; those that were are stored."""


@dataclass(slots=True)
class Problems:
    """Images that cannot be derived: how many, and why, for the first of them."""

    failed: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, problems: Mapping[int, str]) -> None:
        """Add those of a page, by the image's id."""
        self.failed += len(problems)
        self.first = [*self.first, *(f"image {image_id}: {why}" for image_id, why in problems.items())][:MAX_NAMED]


class NotDerived(errors.ValidationError):
    """Not every image can be written in the form asked for; ``problems`` names those that cannot be, at most the first 100."""

    def __init__(self, found: Problems, images: int) -> None:
        self.problems, self.failed, self.images = found.first, found.failed, images
        what = f"{found.failed} of {count(images, 'image')} cannot be written in this form"
        super().__init__(f"{what}; the first is {found.first[0]}; leave them out with --where, or take another encoding or size")


@dataclass(slots=True)
class _Made:
    """Forms by the digest of what they are made from, and why others cannot be made."""

    forms: dict[str, DerivedImage] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


async def derive(
    ctx: JobContext,
    unit: ClaimedUnit,
    page: Sequence[StoredImage],
    asked: CompressionRules | None,
    extensions: frozenset[str] | None,
    own: CompressionRules | None = None,
) -> tuple[list[StoredImage], dict[int, str]]:
    """Return the images of a page as they leave, in their order, and by id why others cannot be derived.

    Args:
        page: kept images.
        asked, extensions, own: see `app.images.recipes.choose_recipe`.

    Raises:
        Interrupted: the unit was asked to stop.
    """
    chosen = [recipes.choose_recipe(image, asked, extensions, own) for image in page]
    made: dict[CompressionRules, _Made] = {}
    for rules in dict.fromkeys(recipe.rules for recipe in chosen if recipe.rules is not None):
        made[rules] = await _derive_alike(ctx, unit, rules, [recipe for recipe in chosen if recipe.rules == rules])
    leaving: list[StoredImage] = []
    problems: dict[int, str] = {}
    for recipe in chosen:
        if recipe.rules is None:
            leaving.append(recipe.image)
        elif (form := made[recipe.rules].forms.get(recipe.source_sha256)) is not None:
            leaving.append(_as_derived(recipe, form))
        else:
            problems[recipe.image.id] = made[recipe.rules].problems[recipe.source_sha256]
    return leaving, problems


async def _derive_alike(ctx: JobContext, unit: ClaimedUnit, rules: CompressionRules, alike: Sequence[Recipe]) -> _Made:
    """Find the forms of images with the same rules, and make those that are missing."""
    digest = await asyncio.to_thread(recipes.digest_of, rules)  # loads Pillow
    sources = {recipe.source_sha256: replace(recipe.image, sha256=recipe.source_sha256) for recipe in alike}
    made = _Made(await _find(ctx, unit, digest, list(sources)))
    missing = [image for source, image in sources.items() if source not in made.forms]
    make = partial(_make, ctx, unit, rules, digest)
    async with aclosing(concurrency.map_in_order(_batches(unit, missing), make, ctx.decoders.size)) as batches:
        async for batch in batches:
            made.forms |= batch.forms
            made.problems |= batch.problems
    if len(made.forms) + len(made.problems) < len(sources):
        raise Interrupted
    return made


async def _find(ctx: JobContext, unit: ClaimedUnit, digest: str, sources: Sequence[str]) -> dict[str, DerivedImage]:
    """The forms that were made before and whose bytes are still in the store."""
    async with ctx.db.read() as connection:
        known = list((await derived_images.find(connection, digest, sources)).values())
    are_there = await ctx.store.exist_many([paths.blob(form.out_sha256) for form in known])
    found = {form.source_sha256: form for form, is_there in zip(known, are_there, strict=True) if is_there}
    if found:
        async with unit.transaction() as connection:
            await derived_images.renew(connection, digest, list(found))
    return found


async def _batches(unit: ClaimedUnit, images: Sequence[StoredImage]) -> AsyncIterator[Sequence[StoredImage]]:
    """The images in batches, until the unit is asked to stop."""
    for batch in split(images):
        if unit.stop.is_set():
            return
        yield batch


async def _make(ctx: JobContext, unit: ClaimedUnit, rules: CompressionRules, digest: str, batch: Sequence[StoredImage]) -> _Made:
    """Make the forms of a few images; their bytes are stored before their rows."""
    made = _Made()
    objects: list[tuple[str, bytes]] = []
    for image, (_, answer) in zip(batch, await decode_batch(ctx, batch, rules), strict=True):
        source = str(image.sha256)
        try:
            output = output_of(answer)
        except errors.ValidationError as error:
            made.problems[source] = str(error)
        else:
            made.forms[source] = form = DerivedImage(source, digest, **output_columns(output))
            objects.append((paths.blob(form.out_sha256), output.body))
    await put_all(ctx, objects)
    async with unit.transaction() as connection:
        await derived_images.add(connection, list(made.forms.values()))
    return made


def _as_derived(recipe: Recipe, form: DerivedImage) -> StoredImage:
    """The image with the columns of its form. A conversion for the loaders is named in the column ``changes``."""
    image = recipe.image
    words = _conversion_words(image, form) if recipe.is_conversion else None
    return replace(
        image,
        out_sha256=form.out_sha256,
        out_media_type=form.out_media_type,
        out_size_bytes=form.out_size_bytes,
        out_width=form.out_width,
        out_height=form.out_height,
        changes="; ".join(filter(None, (image.changes, form.changes, words))) or None,
    )


def _conversion_words(image: StoredImage, form: DerivedImage) -> str:
    frames = int((image.measures or {}).get("frames", 1))
    first = f", the first of {frames} frames" if frames > 1 else ""
    media_type = image.out_media_type or image.media_type
    return f"converted from {media_type} to {form.out_media_type}, which the loaders of this format read{first}"

"""Tests of app.db.lookups: images by what people have of them."""

from app.db import Database, images, lookups
from tests.db.builders import add_images, add_job
from tests.db.test_images import set_all


async def test_images_are_found_by_key_and_digest(any_database: Database) -> None:
    """By the key of a URL's normal form, and by the digest of the original or of what leaves; newest first."""
    first, second = await add_job(any_database), await add_job(any_database)
    (a,), (b,) = await add_images(any_database, first), await add_images(any_database, second)
    (c,) = await add_images(any_database, second, first=9)
    await set_all(any_database, [a], sha256="aa" * 32)
    await set_all(any_database, [c], out_sha256="aa" * 32)
    one, other = (images.url_digest(f"https://example.org/{number}.jpg") for number in (0, 9))
    for keys, ids in (([one], [b, a]), ([other], [c]), ([one, other], [c, b, a]), ([], [])):
        assert [image.id for image in await lookups.by_keys(any_database, keys)] == ids
    for digest, ids in (("aa" * 32, [c, a]), ("bb" * 32, [])):
        assert [image.id for image in await lookups.by_digest(any_database, digest)] == ids

"""Tests of app.encoders: what an installation lacks, and what determines the bytes."""

import PIL
import pytest

from app import encoders


@pytest.mark.parametrize("encoding", ["keep", "jpeg", "png", "webp", "webp-lossless", "avif"])
def test_a_whole_pillow_has_every_encoder(encoding: str) -> None:
    """The wheels of Pillow have them all."""
    assert encoders.find_missing(encoding) is None


def test_a_missing_encoder_is_named_with_the_way_out() -> None:
    """A Pillow of a distribution may be built without one."""
    words = "this Pillow has no encoder of AVIF; install one that has, as with pip install --upgrade pillow, or take another format"
    assert encoders.find_missing("avif", lambda feature: feature != "avif") == words
    assert "no encoder of WEBP" in str(encoders.find_missing("webp-lossless", lambda _: False))
    assert encoders.find_missing("jpeg", lambda _: False) is None


def test_the_versions_are_those_of_all_that_makes_bytes() -> None:
    """Pillow and what is below it, which distributions update on their own."""
    found = encoders.versions()
    assert found["pillow"] == PIL.__version__
    assert {"libjpeg_turbo", "webp", "avif", "avif codecs", "zlib", "littlecms2", "simplejpeg", "numpy", "pictrawl"} <= found.keys()
    assert list(found) == sorted(found)


def test_libraries_that_differ_from_a_lock_are_named_with_both_versions() -> None:
    """One that only one of them has is absent in the other."""
    words = encoders.differences({"webp": "1.5.0", "zlib": "1.3"}, {"webp": "1.6.0", "avif": "1.4"})
    assert words == "avif absent in the lock, 1.4 here; webp 1.5.0 in the lock, 1.6.0 here; zlib 1.3 in the lock, absent here"
    assert encoders.differences({"webp": "1"}, {"webp": "1"}) == ""

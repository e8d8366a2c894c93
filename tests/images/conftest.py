"""Fixtures shared by the tests of app.images."""

import pytest

from tests.images import samples


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """An ordinary photo, 320 x 240."""
    return samples.encode(samples.photo(), "JPEG", quality=87)


@pytest.fixture(scope="session")
def png() -> bytes:
    """The same photo as PNG."""
    return samples.encode(samples.photo(), "PNG")

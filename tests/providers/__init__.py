"""For each source a real HTTP server that answers as the source's API is documented to, with the faults that such APIs show.

To add one: a module here with a `Provider`, and its class in ``_CLASSES``. The contract test of sources then runs it.
"""

from collections.abc import Mapping

from tests.providers.artic import ArticProvider
from tests.providers.cleveland import ClevelandProvider
from tests.providers.europeana import EuropeanaProvider
from tests.providers.flickr import FlickrProvider
from tests.providers.gbif import GbifProvider
from tests.providers.inaturalist import INaturalistProvider
from tests.providers.internet_archive import InternetArchiveProvider
from tests.providers.met import MetProvider
from tests.providers.nasa import NasaProvider
from tests.providers.openverse import OpenverseProvider
from tests.providers.server import Provider
from tests.providers.smithsonian import SmithsonianProvider
from tests.providers.smk import SmkProvider
from tests.providers.wikimedia import WikimediaProvider

__all__ = ["PROVIDERS"]

_CLASSES: tuple[type[Provider], ...] = (
    ArticProvider,
    ClevelandProvider,
    EuropeanaProvider,
    FlickrProvider,
    GbifProvider,
    INaturalistProvider,
    InternetArchiveProvider,
    MetProvider,
    NasaProvider,
    OpenverseProvider,
    SmithsonianProvider,
    SmkProvider,
    WikimediaProvider,
)  # fmt: skip

PROVIDERS: Mapping[str, type[Provider]] = {provider.name: provider for provider in _CLASSES}
"""Providers by the name of the source that they answer."""

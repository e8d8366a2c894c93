"""Tests of app.discovery.identities: which addresses name a picture, and which do not."""

import pytest

from app.discovery import identities
from app.domain import Candidate

ARTIC = "2d484387-2509-5e8e-2c43-22f9981972eb"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://live.staticflickr.com/65535/51234567890_0a1b2c3d4e_b.jpg", "flickr:51234567890"),
        ("https://live.staticflickr.com/65535/51234567890_0a1b2c3d4e.jpg", "flickr:51234567890"),
        ("https://live.staticflickr.com/65535/51234567890_0a1b2c3d4e_o_d.jpg", "flickr:51234567890"),
        ("http://farm5.staticflickr.com/4055/4551963212_aa7b1a0e6c_z.jpg", "flickr:4551963212"),
        ("https://farm5.static.flickr.com/4055/4551963212_aa7b1a0e6c_z.jpg", "flickr:4551963212"),
        ("https://www.flickr.com/photos/someone/51234567890/", "flickr:51234567890"),
        ("https://www.flickr.com/photos/8070463@N03/51234567890/in/album-1/", "flickr:51234567890"),
        ("https://flickr.com/photos/8070463@N03/51234567890", "flickr:51234567890"),
        ("https://upload.wikimedia.org/wikipedia/commons/a/ab/Tabby_cat.jpg", "commons:Tabby cat.jpg"),
        ("https://upload.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg", "commons:Tabby cat.jpg"),
        ("https://thumb.wikimedia.org/wikipedia/commons/thumb/a/ab/Tabby_cat.jpg/960px-Tabby_cat.jpg", "commons:Tabby cat.jpg"),
        ("https://commons.wikimedia.org/wiki/File:Tabby_cat.jpg", "commons:Tabby cat.jpg"),
        ("https://commons.wikimedia.org/wiki/File:tabby%20cat.jpg", "commons:Tabby cat.jpg"),
        ("https://commons.wikimedia.org/wiki/Special:FilePath/Tabby cat.jpg?width=300", "commons:Tabby cat.jpg"),
        ("https://upload.wikimedia.org/wikipedia/commons/2/2f/%C3%89cole.jpg", "commons:École.jpg"),
        ("https://inaturalist-open-data.s3.amazonaws.com/photos/1234/medium.jpg", "inaturalist:1234"),
        ("https://static.inaturalist.org/photos/1234/original.jpeg", "inaturalist:1234"),
        ("https://www.inaturalist.org/photos/1234", "inaturalist:1234"),
        ("https://images.metmuseum.org/CRDImages/ep/original/DT1567.jpg", "met:ep/DT1567.jpg"),
        ("https://images.metmuseum.org/CRDImages/ep/web-large/DT1567.jpg", "met:ep/DT1567.jpg"),
        ("https://images-assets.nasa.gov/image/PIA 18033/PIA 18033~orig.jpg", "nasa:PIA 18033"),
        ("https://images.nasa.gov/details/PIA18033", "nasa:PIA18033"),
        ("https://images.nasa.gov/details-PIA18033", "nasa:PIA18033"),
        ("https://www.rawpixel.com/image/430289/free-illustration", "rawpixel:430289"),
        ("https://ids.si.edu/ids/deliveryService?id=NMNH-1.jpg&max=1000", "smithsonian:NMNH-1.jpg"),
        ("https://ids.si.edu/ids/deliveryService/id/ark:/65665/m3d9e26a", "smithsonian:ark:/65665/m3d9e26a"),
        ("https://ids.si.edu/ids/deliveryService/id/ark:/65665/m3d9e26a/1200", "smithsonian:ark:/65665/m3d9e26a"),
        ("https://iip.smk.dk/iiif/jp2/1z40kx99j_kms1.tif.jp2/full/!1024,/0/default.jpg", "smk:1z40kx99j_kms1.tif.jp2"),
        (f"https://api.gbif.org/v1/image/cache/1200x/occurrence/77/media/{'ab' * 16}", f"gbif:77/{'ab' * 16}"),
        (f"https://www.artic.edu/iiif/2/{ARTIC}/full/843,/0/default.jpg", f"artic:{ARTIC}"),
        ("https://openaccess-cdn.clevelandart.org/1916.1034/1916.1034_web.jpg", "cleveland:1916.1034/1916.1034"),
        ("https://archive.org/download/item-1/a%20cat.jpg", "archive:item-1/a cat.jpg"),
    ],
)
def test_addresses_of_one_picture_name_it(url: str, name: str) -> None:
    """In whatever size, on whatever host of its provider, and on its page."""
    assert identities.read(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "https://www.flickr.com/photos/someone/",
        "https://www.flickr.com/photos/someone/albums/72157",
        "https://live.staticflickr.com/65535/avatar.jpg",
        "https://example.org/65535/51234567890_0a1b2c3d4e_b.jpg",
        "https://notflickr.com/photos/a/51234567890",
        "https://upload.wikimedia.org/wikipedia/en/a/ab/Tabby_cat.jpg",
        "https://upload.wikimedia.org/wikipedia/commons/archive/a/ab/20110101000000%21Tabby_cat.jpg",
        "https://commons.wikimedia.org/wiki/Category:Cats",
        "https://commons.wikimedia.org/wiki/File:",
        "https://www.inaturalist.org/observations/1234",
        "https://www.metmuseum.org/art/collection/search/436535",
        "https://www.gbif.org/occurrence/77",
        "https://ids.si.edu/ids/deliveryService?max=9",
        "https://[broken/a.jpg",
        "relative.jpg",
    ],
)
def test_what_is_not_certain_names_nothing(url: str) -> None:
    """Albums, observations, objects and old versions show several pictures, or others; other hosts have other ids."""
    assert identities.read(url) is None


def test_statements_and_addresses_are_joined() -> None:
    """Digests in lower case; each name once; nothing that is no name or longer than its column."""
    candidate = Candidate(
        "https://live.staticflickr.com/1/53_ab_b.jpg",
        "openverse",
        page_url="https://www.flickr.com/photos/a/53",
        identities=("flickr:53", f"SHA1:{'AB' * 20}", "sha1:short", "md5:", f"x:{'y' * 200}", "no name", "flickr:"),
    )
    assert identities.name_all(candidate) == ("flickr:53", f"sha1:{'ab' * 20}")
    assert identities.name_all(Candidate("https://example.org/a.jpg", "list")) == ()

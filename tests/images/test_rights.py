"""What a file says about its own licence: the blocks of each format, and what hostile ones do."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.images import rights
from tests.images.samples import encode, photo
from tests.images.test_metadata import jpeg_with, png_with, segment

BY = "https://creativecommons.org/licenses/by/4.0/"
HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:r="http://ns.adobe.com/xap/1.0/rights/" '
    'xmlns:cc="http://creativecommons.org/ns#"'
)
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"


def packet(inside: str, attributes: str = "") -> bytes:
    """An XMP packet."""
    return f"{HEAD} {attributes}>{inside}{TAIL}".encode()


def jpeg_xmp(content: bytes) -> bytes:
    """A JPEG with an XMP packet."""
    return jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + content))


def with_exif(text: str, image_format: str = "JPEG") -> bytes:
    """A file whose EXIF block has a copyright."""
    exif = Image.Exif()
    exif[0x8298] = text
    file = io.BytesIO()
    photo(64, 48).save(file, image_format, exif=exif)
    return file.getvalue()


def iptc(*datasets: tuple[int, bytes]) -> bytes:
    """A JPEG with a Photoshop block of IPTC datasets."""
    records = b"".join(b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(text)) + text for number, text in datasets)
    return jpeg_with(segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records))


@pytest.mark.parametrize(
    ("inside", "attributes", "expected"),
    [
        (f'<cc:license rdf:resource="{BY}"/>', "", ("XMP cc:license", BY)),
        (f"<r:WebStatement>{BY}</r:WebStatement>", "", ("XMP xmpRights:WebStatement", BY)),
        ("", f'r:WebStatement="{BY}"', ("XMP xmpRights:WebStatement", BY)),
        (
            '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Ann &amp; Co</rdf:li></rdf:Alt></dc:rights>',
            "",
            ("XMP dc:rights", "© Ann & Co"),
        ),
        ("<r:UsageTerms>\n CC   BY 4.0\n</r:UsageTerms>", "", ("XMP xmpRights:UsageTerms", "CC BY 4.0")),
    ],
)
def test_read_when_xmp(inside: str, attributes: str, expected: rights.Statement) -> None:
    """Elements, attributes, resources and items of lists, in one line of text."""
    assert rights.read(jpeg_xmp(packet(inside, attributes))) == (expected,)


def test_read_when_formats_differ() -> None:
    """A packet is found in every format that holds one."""
    content, expected = packet(f'<cc:license rdf:resource="{BY}"/>'), (("XMP cc:license", BY),)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", content.decode())
    for image_format, more in (("PNG", {"pnginfo": info}), ("WEBP", {"xmp": content}), ("TIFF", {"tiffinfo": {700: content}})):
        file = io.BytesIO()
        photo(64, 48).save(file, image_format, **more)
        assert rights.read(file.getvalue()) == expected, image_format


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_read_when_exif(image_format: str) -> None:
    """The copyright of the first directory, in every format that has one."""
    assert rights.read(with_exif("Copyright Ann 2020", image_format)) == (("EXIF Copyright", "Copyright Ann 2020"),)


def test_read_when_exif_is_short_or_not_ascii() -> None:
    """A text of four bytes stands in its entry; photographer and editor are separated by a zero byte; old cameras write Latin-1."""
    assert rights.read(with_exif("Ann")) == (("EXIF Copyright", "Ann"),)
    old = with_exif("Ann_and__Bob").replace(b"Ann_and__Bob", b"\xa9 Ann\0\0\0\0Bob")
    assert rights.read(old) == (("EXIF Copyright", "© Ann Bob"),)


def test_read_when_iptc() -> None:
    """Dataset 2:116, behind others."""
    assert rights.read(iptc((5, b"a title"), (116, "© Ann".encode()))) == (("IPTC CopyrightNotice", "© Ann"),)
    assert rights.read(iptc((5, b"a title"))) == ()


def test_read_when_nothing_is_stated() -> None:
    """A photo without any of it, and no image at all."""
    assert rights.read(encode(photo(64, 48))) == rights.read(b"") == rights.read(png_with()) == ()


def test_read_when_entities_are_declared() -> None:
    """A document type is no part of XMP: the packet says nothing, and nothing is expanded."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    whole = packet("<dc:rights>CC BY 4.0 &b;</dc:rights>")
    assert rights.read(jpeg_xmp(whole.replace(b"<rdf:RDF", bomb + b"<rdf:RDF"))) == ()
    reader = rights._PropertyReader()
    assert reader.read(bomb.replace(b"<!DOCTYPE x", b"<!DOCTYPE x:xmpmeta") + whole) == []


def test_read_when_packet_is_huge_or_broken() -> None:
    """It is left alone, and so is more than a few statements of a few hundred characters."""
    assert rights.read(packet("<dc:rights>CC BY</dc:rights>" + " " * rights.MAX_PACKET)) == ()
    assert rights.read(packet("<dc:rights>CC BY")) == ()
    many = "".join(f"<rdf:li>{number} {'x' * 900}</rdf:li>" for number in range(20))
    found = rights.read(packet(f"<dc:rights><rdf:Bag>{many}</rdf:Bag></dc:rights>"))
    assert (len(found), {len(words) for _, words in found}) == (rights.MAX_STATEMENTS, {rights.MAX_CHARS})


FILES = (
    with_exif("Ann, all rights reserved"),
    with_exif("Ann", "TIFF"),
    jpeg_xmp(packet("<dc:rights>CC BY</dc:rights>")),
    iptc((116, b"Ann")),
)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(FILES), st.data())
def test_read_when_bytes_are_mutated(body: bytes, data: st.DataObject) -> None:
    """Any bytes give statements or none."""
    at = data.draw(st.integers(0, min(len(body), 900) - 1))
    noise = data.draw(st.binary(max_size=12))
    for broken in (body[:at] + noise + body[at + len(noise) :], body[:at]):
        assert all(where and words for where, words in rights.read(broken))

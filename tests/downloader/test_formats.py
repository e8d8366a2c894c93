"""Signatures: what the first bytes are, whatever the headers say."""

import io

import pytest
from PIL import Image

from downloader.formats import sniff


@pytest.mark.parametrize(
    ("encoder", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("ICO", "image/x-icon"),
        ("AVIF", "image/avif"),
        ("JPEG2000", "image/jp2"),
    ],
)
def test_real_files_are_known(encoder, media_type):
    """What Pillow writes, we recognise by 64 bytes."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, encoder)
    assert sniff(file.getvalue()[:64]) == media_type


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"MM\x00*\x00\x00\x00\x08", "image/tiff"),
        (b"II+\x00\x08\x00", "image/tiff"),
        (b"GIF87a", "image/gif"),
        (b"\xff\x0a\x00", "image/jxl"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "image/avif"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1miaf", "image/heif"),
    ],
)
def test_known_signatures(head, media_type):
    """Rarer kinds by their documented signatures."""
    assert sniff(head) == media_type


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8",
        b"<html>",
        b"BM a text",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2",
        b"<svg/>",
        b"%PDF-1.7",
        b"GIF90a",
        b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00avif",
        b"ftyp",
    ],
)
def test_what_is_no_image(head):
    """Text, video, vector and short heads are not."""
    assert sniff(head) is None

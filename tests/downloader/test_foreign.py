"""What a body is that is no image."""

import pytest

from downloader import FetchFailed, foreign
from tests.origin import reply


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!doctype html><html><body>404</body></html>", "HTML"),
        (b"\xef\xbb\xbf \n<html lang=en>", "HTML"),
        (b"<!-- x --><!DOCTYPE html><svg></svg>", "an SVG drawing"),
        (b"<html><svg/></html>", "HTML"),
        (b"<?xml version='1.0'?><!-- drawn --><svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"error": "gone"}', "JSON"),
        (b"%PDF-1.7", "a PDF document"),
        (b"8BPS\0\1", "a Photoshop file (PSD)"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "a video (MP4 or QuickTime)"),
        (b"\0\0\0\x14ftypqt  ", "a video (MP4 or QuickTime)"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera RAW file (CR3)"),
        (b"FUJIFILMCCD-RAW 0201", "a camera RAW file (RAF)"),
        (b"\x1aE\xdf\xa3\x93", "a video (WebM or Matroska)"),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI)"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio (WAV)"),
        (b"RIFF\0\0\0\0XXXX", None),
        (b"\0\0\2\0\1\0", "a cursor (CUR)"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"not found", None),
        (b"", None),
    ],
)
def test_describe(body, words):
    """By the first bytes; what they do not tell has no name."""
    assert foreign.describe(body) == words


async def test_a_failed_download_says_what_came(origin, downloader):
    """Whatever the type that the server states."""
    for body, words in ((b"<svg/>", "the body is an SVG drawing"), (b"gone", "the body begins like no image format")):
        outcome = await downloader.fetch(origin.script(f"/{len(body)}", reply(200, body, {"Content-Type": "image/jpeg"})))
        assert isinstance(outcome, FetchFailed)
        assert (outcome.reason, outcome.message) == ("not_an_image", words)

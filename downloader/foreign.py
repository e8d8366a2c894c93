"""What a body is that is no image which we know by its first bytes: a page, a document, a film, a drawing. For messages only."""

import re
from typing import Final

__all__ = ["HEAD_BYTES", "WORDS", "describe"]

HEAD_BYTES: Final = 1024
"""Of a body, from its beginning, that are looked at: XML may say after a comment what it is."""

_PREFIXES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "PostScript (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (b"8BPS", "a Photoshop file (PSD)"),
    (b"gimp xcf", "a GIMP file (XCF)"),
    (b"FUJIFILMCCD-RAW", "a camera RAW file (RAF)"),
    (b"IIRO", "a camera RAW file (ORF)"),
    (b"IIRS", "a camera RAW file (ORF)"),
    (b"IIU\0", "a camera RAW file (RW2)"),
    (b"FOVb", "a camera RAW file (X3F)"),
    (b"\x00\x00\x02\x00", "a cursor (CUR)"),
    (b"icns", "an icon (ICNS)"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"DDS ", "a texture (DDS)"),
    (b"qoif", "QOI"),
    (b"\x1aE\xdf\xa3", "a video (WebM or Matroska)"),
    (b"FLV\x01", "a video (FLV)"),
    (b"\x00\x00\x01\xba", "a video (MPEG)"),
    (b"\x00\x00\x01\xb3", "a video (MPEG)"),
    (b"OggS", "audio or video (Ogg)"),
    (b"ID3", "audio (MP3)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)

WORDS: Final = tuple(words for _, words in _PREFIXES if "video" not in words and "audio" not in words)
"""What `describe` knows besides text, audio and video."""

_RIFF: Final = {b"AVI ": "a video (AVI)", b"WAVE": "audio (WAV)"}
_SVG: Final = re.compile(rb"<(?:\w+:)?svg[\s>/]", re.IGNORECASE)
_HTML: Final = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|script|meta)\b", re.IGNORECASE)


def describe(head: bytes) -> str | None:
    """Return what a body is, in words; None where it is not known."""
    if found := next((words for prefix, words in _PREFIXES if head.startswith(prefix)), None):
        return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "a camera RAW file (CR3)" if head[8:12] == b"crx " else "a video (MP4 or QuickTime)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] == b"<":
        return "an SVG drawing" if _SVG.search(text) and not _HTML.match(text) else "HTML" if _HTML.search(text) else "XML"
    return "JSON" if text[:1] in (b"{", b"[") else None

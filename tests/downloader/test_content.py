"""Content codings: one at a time, bounded, complete."""

import gzip
import io
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import errors
from downloader.content import Body, ContentRange, coding_of, content_range, sniff
from tests.origin import JPEG


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        ([], "identity"),
        (["identity"], "identity"),
        (["GZIP"], "gzip"),
        (["x-gzip"], "gzip"),
        ([" deflate "], "deflate"),
        (["identity, gzip"], "gzip"),
    ],
)
def test_coding_of_one(values, coding):
    """Names are case-insensitive, identity is no coding."""
    assert coding_of(values) == coding


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        (["UTF-8"], "identity"),
        (["aws-chunked", "gzip"], "gzip"),
        (['"gzip";q=1, none'], "gzip"),
        (["br"], "br"),
        (["gzip, gzip"], "gzip, gzip"),
        (["x-gzip", "zstd"], "gzip, zstd"),
    ],
)
def test_what_names_no_coding_is_ignored(values, coding):
    """Codings that are not decoded keep their names."""
    assert coding_of(values) == coding


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip"])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_image_is_not_decoded(coding, step):
    """Whatever was announced, and in whatever pieces it comes."""
    body = Body(coding, 3000)
    for at in range(0, len(JPEG), step):
        body.feed(JPEG[at : at + step])
    assert (body.finish(), body.wire_bytes) == (JPEG, len(JPEG))


@pytest.mark.parametrize(
    ("coding", "text"), [("gzip", b"User-agent: *\nDisallow: /"), ("gzip", b'{"a": 1}' * 50), ("deflate", b"User-agent: *\nDisallow: /")]
)
def test_text_that_is_not_encoded_is_not_decoded(coding, text):
    """A robots.txt with a wrong header is still one."""
    body = Body(coding, 3000)
    body.feed(text)
    assert body.finish() == text


@pytest.mark.parametrize("coding", ["br", "gzip, gzip"])
def test_coding_that_was_not_asked_for_is_named(coding):
    """It cannot be read, and the message says what came."""
    body = Body(coding, 3000)
    with pytest.raises(errors.ProtocolError, match=f"encoded as {coding}, which was not asked for"):
        body.feed(gzip.compress(gzip.compress(JPEG * 2)))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("bytes 0-9/10", ContentRange(0, 9, 10)),
        ("Bytes=0-9/10", ContentRange(0, 9, 10)),
        ("bytes 5-9/20", ContentRange(5, 9, 20)),
        ("bytes 0-9/*", None),
        ("bytes */10", None),
        ("items 0-9/10", None),
        ("", None),
    ],
)
def test_content_range(value, part):
    """A part of a file of known size; only the first of these is a whole file."""
    assert content_range(value) == part
    assert (part is not None and part.is_whole) == (part == ContentRange(0, 9, 10))


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def test_body_in_one_part_is_that_part():
    """Copied nowhere; what follows it, be it nothing, does not lose it."""
    part = b"x" * 1000
    body = Body("identity", 3000, 1000)
    body.feed(part)
    assert body.kept() is part
    body.feed(b"")
    assert body.finish() == part
    body.feed(b"yz")
    assert body.finish() == part + b"yz"


@pytest.mark.parametrize(
    ("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("identity", bytes)]
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_round_trip_in_pieces(coding, pack, step):
    """Whatever the pieces, the body comes out whole."""
    data = b"abc" * 1000
    packed = pack(data)
    body = Body(coding, 3000)
    for at in range(0, len(packed), step):
        body.feed(packed[at : at + step])
    assert body.finish() == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_nothing_is_an_empty_body(coding):
    """Zero bytes are zero bytes; whether that is a success is not decided here."""
    body = Body(coding, 10)
    body.feed(b"")
    assert body.finish() == b""


def test_bound_holds_on_the_wire():
    """One byte more is too many, one less is not."""
    body = Body("identity", 10)
    body.feed(b"x" * 10)
    with pytest.raises(errors.TooLargeError):
        body.feed(b"x")


def test_bound_holds_on_the_wire_where_nothing_comes_out():
    """A gzip header may have a name of any length: a body that is all header is cut like any other."""
    body = Body("gzip", 100)
    body.feed(b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 90)
    with pytest.raises(errors.TooLargeError):
        body.feed(b"x")


def test_bomb_is_stopped_at_the_bound():
    """50 MB in 50 KB: refused with little more than the bound ever in memory."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    body = Body("gzip", 1_000_000)
    tracemalloc.start()
    with pytest.raises(errors.TooLargeError):
        body.feed(bomb)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_truncated_broken_and_prolonged_data():
    """Short may pass another time; broken or followed by junk will not."""
    packed = gzip.compress(bytes(range(256)))
    short = Body("gzip", 1000)
    short.feed(packed[:-3])
    with pytest.raises(errors.TruncatedBodyError):
        short.finish()
    with pytest.raises(errors.ProtocolError):
        Body("gzip", 1000).feed(b"\x1f\x8b no gzip after all" * 9)
    with pytest.raises(errors.ProtocolError):
        Body("gzip", 1000).feed(packed + b"junk")
    late = Body("gzip", 1000)
    late.feed(packed)
    with pytest.raises(errors.ProtocolError):
        late.feed(b"junk")


@given(st.sampled_from(["gzip", "deflate", "identity"]), st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_stay_in_the_tree(coding, chunks):
    """Garbage ends as a body or as one of ours."""
    body = Body(coding, 1000)
    try:
        for chunk in chunks:
            body.feed(chunk)
        assert len(body.finish()) <= 1000
    except (errors.ProtocolError, errors.TooLargeError, errors.TruncatedBodyError):
        pass


@pytest.mark.parametrize("announced", [0, 1, 2999, 3000, 3001, 5000, 10**9])
@pytest.mark.parametrize("step", [1, 1000, 3000])
def test_announced_length_only_makes_room(announced, step):
    """Whatever the header said, the body is what was fed."""
    data = bytes(range(250)) * 12
    body = Body("identity", 3000, announced)
    for at in range(0, len(data), step):
        body.feed(data[at : at + step])
    assert body.finish() == data


def test_what_is_taken_of_a_longer_body_has_no_room_left_over():
    """The zeros that were reserved are not part of it."""
    body = Body("identity", 100, 100)
    body.feed(b"abc")
    assert body.kept() == b"abc"


def test_body_of_announced_length_is_held_once():
    """8 MB in pieces, whole at the end: one buffer, and no second one to join them in."""
    piece = b"x" * 250_000
    tracemalloc.start()
    body = Body("identity", 8_000_000, 8_000_000)
    for _ in range(32):
        body.feed(piece)
    assert len(body.finish()) == 8_000_000
    assert tracemalloc.get_traced_memory()[1] < 8_600_000
    tracemalloc.stop()


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

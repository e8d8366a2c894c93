"""A picture that many unrelated URLs of one site gave is a placeholder; copies, variants and mirrors of one picture are not."""

from dataclasses import dataclass

import pytest

from app.images.placeholders import Link, find_placeholders, groups_of_one_picture, picture_of

GONE = "https://img.example/removed.png"


def _links(count: int, url: str = "https://img.example/{}.jpg", *, to: str = "", caption: str = "", label: str = "") -> list[Link]:
    """Links whose texts differ by their number."""
    return [Link(n, *(text.format(n) or None for text in (url, to, caption, label))) for n in range(count)]  # type: ignore[arg-type]


MANY, ONE = "caption {}", "a cat"


@pytest.mark.parametrize(
    ("links", "is_placeholder"),
    [
        # redirected to one address: three are enough
        (_links(6, to=GONE, caption=MANY), True),
        (_links(3, to=GONE, caption=MANY), True),
        (_links(2, to=GONE, caption=MANY), False),
        (_links(6, to=GONE), True),
        (_links(6, to=GONE, label="cat"), True),
        (_links(6, to=GONE, caption=ONE), False),
        (_links(6, to=GONE + "?from={}", caption=MANY), True),
        (_links(6, "http://img.example/get?id={}", to="https://img.example/none?for={}", caption=MANY), True),
        # a redirect that keeps the name of the picture is none
        (_links(4, "http://img.example/{}.jpg", to="https://img.example/{}.jpg", caption=MANY), False),
        (_links(4, "http://img.example/{}.jpg", to="https://img.example/new/{}.jpg", caption=MANY), False),
        # served with 200
        (_links(5, caption=MANY), True),
        (_links(4, caption=MANY), False),
        (_links(5), True),
        (_links(5, label="cat"), False),
        (_links(5, label="class {}"), True),
        (_links(5, caption=ONE), False),
        (_links(5, "https://img.example/get.php?id={}&w=100", caption=MANY), True),
        (_links(5, "https://img.example/{0}00/{0}.jpg", caption=MANY), True),
        # one picture under several URLs
        (_links(9, "https://img.example/a.jpg?w={}00", caption=MANY), False),
        (_links(9, "https://img.example/{}00x300/a.jpg", caption=MANY), False),
        (_links(9, "https://img.example/a-{}00x300.jpg", caption=MANY), False),
        (_links(9, "https://img.example/w_{}00,c_fill/a.jpg", caption=MANY), False),
        (_links(9, "https://img{}.example/a.jpg", caption=MANY), False),
        # other sites show the same picture
        ([Link(n, f"https://{host}.example/{n}.jpg", caption=f"caption {n}") for n, host in enumerate("abcdefgh")], False),
    ],
)
def test_placeholder(links: list[Link], is_placeholder: bool) -> None:
    """All of its links, or none."""
    found = find_placeholders(links, 5)
    assert [(placeholder.host, placeholder.urls) for placeholder in found] == [("img.example", len(links))] * is_placeholder
    assert [link for placeholder in found for link in placeholder.links] == links * is_placeholder
    assert find_placeholders(links, 0) == []


def test_each_site_is_judged_on_its_own() -> None:
    """The placeholder of one site is a picture on another; numbered servers are one site."""
    links = [Link(n, f"https://img{n}.example/{n}.jpg", caption=f"caption {n}") for n in range(5)]
    (found,) = find_placeholders([*links, Link(77, "https://artist.example/work.jpg", caption="the original")], 5)
    assert found.links == links


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://h.example/a/b.jpg", "http://www.h.example/a/b.png?w=200&q=80"),
        ("https://h.example/a/b.jpg", "https://h.example/a/b-300x200.jpg"),
        ("https://h.example/a/b.jpg", "https://h.example/a/b_thumb.webp"),
        ("https://h.example/a/b.jpg", "https://h.example/a/b@2x.jpg"),
        ("https://h.example/a/b.jpg", "https://h.example/large/a/b.jpg"),
        ("https://h.example/a/B%20c.jpg", "https://h.example/thumb/a/b c.jpg/200px-b c.jpg"),
        ("https://h.example/up/v1/b.jpg", "https://h.example/up/c_fill,h_30,w_300/v1/b.jpg"),
        ("https://h.example/get?id=3", "https://h.example/get?height=20&id=3"),
    ],
)
def test_variants_of_a_url_name_one_picture(first: str, second: str) -> None:
    """Host, format, sizes and versions make no difference."""
    assert picture_of(first) == picture_of(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("https://h.example/1.jpg", "https://h.example/2.jpg"),
        ("https://h.example/1/image.jpg", "https://h.example/2/image.jpg"),
        ("https://h.example/img_1234.jpg", "https://h.example/img_1235.jpg"),
        ("https://h.example/photo-1200.jpg", "https://h.example/photo-1201.jpg"),
        ("https://h.example/get?id=3", "https://h.example/get?id=4"),
        ("http://[bad/1.jpg", "http://[bad/2.jpg"),
    ],
)
def test_other_urls_name_other_pictures(first: str, second: str) -> None:
    """Numbers that are no sizes count, and parameters of addresses that are no files."""
    assert picture_of(first) != picture_of(second)


def test_a_hostile_path_takes_no_time() -> None:
    """Each parameter can be read in two ways; all of them together in 2 to the power of their number."""
    assert picture_of(f"https://h.example/{'a_b_c,' * 1_000}!/b.jpg") != picture_of("https://h.example/b.jpg")


@dataclass(frozen=True)
class _Image:
    id: int
    sha256: str
    phash: str | None = "0" * 16
    colours: bytes | None = bytes(48)
    pixels: int = 100
    redirected_to: int | None = None


def test_images_are_grouped_by_bytes_picture_and_address() -> None:
    """Nearly equal pictures of one size are one picture; similar ones are not, nor those that are not known well enough."""
    same = [_Image(n, f"{n}", f"{1 if n else 0:016x}", bytes([n % 3]) * 48) for n in range(4)]
    other = [
        _Image(4, "4", "000000000000000f"), _Image(5, "5", colours=bytes([9]) * 48), _Image(6, "6", colours=None),
        _Image(7, "7", phash=None), _Image(8, "8", pixels=200),
    ]  # fmt: skip
    assert groups_of_one_picture([*same, *other], dict.fromkeys(range(1, 9), 0)) == [[0, 1, 2, 3]]
    copies = [_Image(n, "a") for n in range(3)]
    assert groups_of_one_picture(copies, {1: 0, 2: 0}) == [[0, 1, 2]]
    assert groups_of_one_picture(copies[:2], {1: 0}) == []
    led = [_Image(n, f"{n}", redirected_to=7) for n in range(3)]
    assert groups_of_one_picture(led, {}) == [[0, 1, 2]]

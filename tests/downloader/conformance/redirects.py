"""C27 to C35: where a redirect may lead, and what goes along."""

from collections.abc import Callable
from typing import Final

import errors
from tests.downloader.conformance.rows import Ending, Row, Scene, answering, final, ok, tls_origin
from tests.origin import Exchange, Step, image, redirect, reply

__all__ = ["PRIVATE", "ROWS"]

Y: Final = {"/y": [image()]}

PRIVATE: Final = {
    "loopback": "http://127.0.0.2/x",
    "ten": "http://10.0.0.1/x",
    "172-16": "http://172.16.0.1/x",
    "192-168": "http://192.168.1.1/x",
    "carrier-nat": "http://100.64.0.1/x",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata-alibaba": "http://100.100.100.200/",
    "metadata-oracle": "http://192.0.0.192/",
    "wire-server": "http://168.63.129.16/",
    "zero": "http://0.0.0.0/x",
    "broadcast": "http://255.255.255.255/x",
    "multicast": "http://224.0.0.1/x",
    "v6-loopback": "http://[::1]/x",
    "v6-unspecified": "http://[::]/x",
    "v6-link-local": "http://[fe80::1]/x",
    "v6-local": "http://[fd00:ec2::254]/x",
    "v6-multicast": "http://[ff02::1]/x",
    "v6-documentation": "http://[2001:db8::1]/x",
    "v6-mapped": "http://[::ffff:a00:1]/x",
    "v6-mapped-dotted": "http://[::ffff:10.0.0.1]/x",
    "v6-compatible": "http://[::10.0.0.1]/x",
    "v6-translated": "http://[::ffff:0:10.0.0.1]/x",
    "nat64": "http://[64:ff9b::a00:1]/x",
    "nat64-dotted": "http://[64:ff9b::10.0.0.1]/x",
    "nat64-local": "http://[64:ff9b:1::a00:1]/x",
    "6to4": "http://[2002:a00:1::]/x",
    "teredo": "http://[2001::a00:1]/x",
    "decimal": "http://167772161/x",
    "hex": "http://0x0a000001/x",
    "octal": "http://012.0.0.1/x",
    "mixed": "http://0xa.0.0.01/x",
    "short": "http://10.1/x",
    "one-zero": "http://0/x",
    "full-width": "http://１０.0.0.1/x",
    "circled": "http://①⓪.⓪.⓪.①/x",
    "ideographic-dots": "http://10。0。0。1/x",
    "trailing-dot": "http://10.0.0.1./x",
    "no-scheme": "//10.0.0.1/x",
    "no-scheme-number": "//167772161/x",
    "port": "http://10.0.0.1:8080/x",
    "https": "https://10.0.0.1/x",
    "userinfo": "http://public.test@10.0.0.1/x",
    "backslashes": "http:\\\\10.0.0.1\\x",
    "one-slash": "https:/10.0.0.1/x",
    "escaped": "http://%31%30.1/x",
    "backslash-userinfo": "http://10.0.0.1\\@public.test/x",
    "name": "http://private.test/x",
    "name-of-v6": "http://private6.test/x",
    "name-of-mapped": "http://mapped.test/x",
    "name-of-both": "http://both.test/x",
    "name-of-both-reversed": "http://both2.test/x",
    "name-of-localhost": "http://localhost/x",
}
"""Ways to name what may not be dialled. Loopback is 127.0.0.2 here: the origin itself is 127.0.0.1."""

NAMES: Final = answering(
    private_test=["10.0.0.1"],
    private6_test=["fd00::1"],
    mapped_test=["::ffff:10.0.0.1"],
    both_test=["93.184.216.34", "10.0.0.1"],
    both2_test=["10.0.0.1", "93.184.216.34"],
    localhost=["127.0.0.2", "::1"],
)


def not_dialled(scene: Scene, ending: Ending) -> None:
    """The kernel was asked for the origin's address and for no other; the record says what was refused."""
    assert scene.dials.strangers == []
    assert scene.dials.made == ["127.0.0.1"]
    assert ending.outcome.evidence  # type: ignore[union-attr]


def ended_at(path: str) -> Callable[[Scene, Ending], None]:
    """The URL that the bytes came from is on record, and every hop was a GET."""

    def check(scene: Scene, ending: Ending) -> None:
        assert ending.outcome.final_url == scene.origin.url(path)
        assert {hit.method for hit in scene.origin.log} == {"GET"}

    return check


def asked(*targets: str) -> Callable[[Scene, Ending], None]:
    """These targets, byte for byte, in this order."""

    def check(scene: Scene, ending: Ending) -> None:
        assert scene.targets() == list(targets)

    return check


def downgraded(scene: Scene, ending: Ending) -> None:
    """The plain URL that it ended at is on record."""
    assert ending.outcome.final_url == scene.other.url("/x")
    assert len(scene.other.log) == 1


def nothing_sent_on(scene: Scene, ending: Ending) -> None:
    """No cookie, no credentials, no referrer, on any hop."""
    for hit in scene.origin.log + scene.other.log:
        assert not set(hit.headers) & {"cookie", "authorization", "proxy-authorization", "referer", "origin"}
    assert len(scene.other.log) == 1


def to_other(scene: Scene) -> str:
    """Have /x lead to the second host, with a cookie and with credentials in the Location."""
    scene.other.script("/x", image())
    where = scene.other.url("/x", host="other.test").replace("://", "://user:secret@")
    scene.origin.script("/x", redirect(where, headers=[("Set-Cookie", "a=b; Path=/")]))
    return scene.origin.url("/x")


def to_plain(scene: Scene) -> str:
    scene.other.script("/x", image())
    scene.origin.script("/x", redirect(scene.other.url("/x")))
    return scene.origin.url("/x", host="good.test")


def counting() -> Step:
    """Redirect to a URL that has not been seen, for ever."""

    async def step(exchange: Exchange) -> None:
        at = exchange.hit.target.partition("?")[2] or "0"
        await redirect(f"/x?{int(at) + 1}")(exchange)

    return step


ROWS: list[Row] = [
    *(
        ok(f"C27-{status}", redirect("/y", status), paths=Y, requests=2, attempts=1, check=ended_at("/y"))
        for status in (301, 302, 303, 307, 308)
    ),
    final("C28-self", errors.RedirectError, redirect("/x")),
    final("C28-loop", errors.RedirectError, redirect("/y"), paths={"/y": [redirect("/x")]}, requests=2, attempts=1),
    final("C28-loop-by-fragment", errors.RedirectError, redirect("/x#1")),
    final("C28-empty-location", errors.RedirectError, redirect("")),
    final("C29", errors.RedirectError, counting(), requests=6, attempts=1),
    ok("C29-five", *(redirect(f"/x?{n}") for n in range(5)), image(), requests=6, attempts=1),
    final("C29-none-allowed", errors.RedirectError, redirect("/y"), limits={"max_redirects": 0}),
    final("C30-no-location", errors.RedirectError, redirect(None)),
    final("C30-two-locations", errors.RedirectError, redirect("/y", headers=[("Location", "/z")]), paths=Y),
    ok("C30-same-location-twice", redirect("/y", headers=[("Location", "/y")]), paths=Y, requests=2, attempts=1),
    *(final(f"C30-{status}", errors.RedirectError, reply(status, headers={"Location": "/y"}), paths=Y) for status in (300, 305, 306)),
    *(
        final(f"C31-{name}", errors.RedirectError, redirect(location))
        for name, location in {
            "file": "file:///etc/passwd",
            "data": "data:image/png;base64,AA",
            "ftp": "ftp://h.test/a.jpg",
            "gopher": "gopher://h.test/",
            "javascript": "javascript:alert(1)",
            "unix": "unix:///run/x.sock",
            "bad-port": "http://h.test:99999/",
            "bad-host": "http://[::1/",
        }.items()
    ),
    *(
        final(f"C32-{name}", errors.BlockedAddressError, redirect(location.encode().decode("latin-1")), lookup=NAMES, check=not_dialled)
        for name, location in PRIVATE.items()
    ),
    final("C32-port-not-allowed", errors.BlockedAddressError, requests=0, attempts=0, limits={"ports": (80, 443)}),
    ok("C33", serve=lambda authority: tls_origin("good.test", authority=authority), url=to_plain, requests=1, attempts=1, check=downgraded),
    ok("C34", url=to_other, requests=1, attempts=1, check=nothing_sent_on),
    ok("C35-fragment", redirect("/y#part"), paths=Y, requests=2, attempts=1, check=asked("/x", "/y")),
    ok(
        "C35-spaces",
        redirect("/a b.jpg?c d"),
        paths={"/a%20b.jpg": [image()]},
        requests=2,
        attempts=1,
        check=asked("/x", "/a%20b.jpg?c%20d"),
    ),
    ok(
        "C35-utf-8",
        redirect("/bücher.jpg".encode().decode("latin-1")),
        paths={"/b%C3%BCcher.jpg": [image()]},
        requests=2,
        attempts=1,
        check=asked("/x", "/b%C3%BCcher.jpg"),
    ),
    ok(
        "C35-utf-8-beside-latin-1",
        redirect("/bücher.jpg".encode().decode("latin-1"), headers=[("X-Server", "M\xfcnchen")]),
        paths={"/b%C3%BCcher.jpg": [image()]},
        requests=2,
        attempts=1,
        check=asked("/x", "/b%C3%BCcher.jpg"),
    ),
    ok(
        "C35-latin-1",
        redirect("/b\xfccher.jpg?\xe9"),
        paths={"/b%FCcher.jpg": [image()]},
        requests=2,
        attempts=1,
        check=asked("/x", "/b%FCcher.jpg?%E9"),
    ),
    ok("C35-backslash", redirect("\\y"), paths=Y, requests=2, attempts=1, check=asked("/x", "/y")),
    ok("C35-control", redirect("/y?\x01b"), paths=Y, requests=2, attempts=1, check=asked("/x", "/y?%01b")),
    ok("C35-relative", redirect("y"), paths=Y, requests=2, attempts=1, check=asked("/x", "/y")),
    ok("C35-query-only", redirect("?y"), image(), requests=2, attempts=1, check=asked("/x", "/x?y")),
    ok("C35-dots", redirect("/a/../y"), paths=Y, requests=2, attempts=1, check=asked("/x", "/y")),
    ok("C35-escapes-kept", redirect("/%79?z=%2F"), paths={"/%79": [image()]}, requests=2, attempts=1, check=asked("/x", "/%79?z=%2F")),
]

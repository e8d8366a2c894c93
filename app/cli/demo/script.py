"""What the demo's four hosts serve: good pictures, throttled ones, broken connections, and a Retry-After of one day."""

import time
from dataclasses import dataclass
from email.utils import formatdate

from app.cli.demo import pictures
from app.cli.demo.origin import Origin, Step, cut_off, drip, reply, reset

__all__ = ["Row", "write_script"]

GOOD = 216
LABELS = ("dunes", "harbour", "meadow", "skyline")
FORMS = (("JPEG", "jpg"), ("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))
KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
PAGE = b"<!doctype html><title>Please log in</title><p>This picture is for members."


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the demo's URL list."""

    url: str
    label: str


class Script:
    """Scripts the hosts and collects the list of URLs."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._seed = 1000

    def add(self, host: Origin, path: str, *steps: Step, picture: int | None = None) -> None:
        """Script a URL and add it to the list; a copy has the label of the good picture that it shows."""
        at = len(self.rows) if picture is None else picture
        self.rows.append(Row(host.script(path, *steps), LABELS[at % len(LABELS)]))

    def fresh(self) -> bytes:
        """A picture that is served under one URL only."""
        self._seed += 1
        return pictures.encoded(pictures.photograph(self._seed))


def write_script(calm: Origin, busy: Origin, broken: Origin, closed: Origin) -> list[Row]:
    """Script the four hosts; return the list in a mixed order. Takes a few seconds of CPU."""
    script = Script()
    _good(script, calm)
    _duplicates(script, calm)
    _throttled(script, busy)
    _broken(script, broken)
    _refused(script, broken)
    _unfit(script, calm)
    script.add(closed, "/busy/tomorrow.jpg", reply(429, headers={"Retry-After": "86400"}))
    return sorted(script.rows, key=lambda row: hash_of(row.url.rpartition("/")[2]))


def hash_of(text: str) -> int:
    """A stable hash to mix the order by (FNV-1a)."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def _good(script: Script, host: Origin) -> None:
    for at in range(GOOD):
        form, suffix = FORMS[at % len(FORMS)]
        body = pictures.encoded(pictures.photograph(at), form)
        script.add(host, f"/photo/{at:03d}.{suffix}", reply(body=body, kind=KINDS[form]))


def _duplicates(script: Script, host: Origin) -> None:
    """Duplicates: the same bytes under another URL, and the same picture re-encoded and smaller."""
    for at in range(0, 32, 4):
        script.add(host, f"/mirror/{at:03d}.jpg", reply(body=pictures.encoded(pictures.photograph(at))), picture=at)
        smaller = pictures.photograph(at + 1).resize((320, 240))
        script.add(host, f"/smaller/{at:03d}.jpg", reply(body=pictures.encoded(smaller, quality=60)), picture=at + 1)


def _throttled(script: Script, host: Origin) -> None:
    """429 with and without Retry-After, 503 and 504; most requests succeed when retried.

    Few of them are refused: a host that refuses half of all requests at any speed is slowed down to one request in two seconds.
    """
    for at in range(6):
        is_first = at == 0
        script.add(host, f"/busy/plain{at}.jpg", *([reply(429)] if is_first else []), reply(body=script.fresh()))
        script.add(host, f"/busy/down{at}.jpg", *([reply(503)] if is_first else []), reply(body=script.fresh()))
        script.add(host, f"/busy/gateway{at}.jpg", *([reply(504), reply(503)] if is_first else []), reply(body=script.fresh()))
    for at in range(3):
        is_first = at == 0
        in_a_second = reply(429, headers={"Retry-After": "1"})
        script.add(host, f"/busy/seconds{at}.jpg", *([in_a_second] if is_first else []), reply(body=script.fresh()))
        script.add(host, f"/busy/date{at}.jpg", *([_until_date(2.0)] if is_first else []), reply(body=script.fresh()))
        script.add(host, f"/busy/never{at}.jpg", reply(503) if is_first else reply(body=script.fresh()))


def _until_date(seconds: float) -> Step:
    async def step(writer: object) -> bool:
        now = time.time()
        headers = {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(now + seconds, usegmt=True)}
        return await reply(429, headers=headers)(writer)  # type: ignore[arg-type]

    return step


def _broken(script: Script, host: Origin) -> None:
    """Connections that are reset, and bodies that are truncated or slow."""
    for at in range(5):
        script.add(host, f"/broken/reset{at}.jpg", reset(), reply(body=script.fresh()))
        body = script.fresh()
        script.add(host, f"/broken/half{at}.jpg", cut_off(body), reply(body=body))
        script.add(host, f"/broken/slow{at}.jpg", drip(script.fresh(), seconds=2.0))
    script.add(host, "/broken/always-half.jpg", cut_off(script.fresh()))
    script.add(host, "/broken/always-reset.jpg", reset())


def _refused(script: Script, host: Origin) -> None:
    """Missing, forbidden, disallowed and opted-out URLs; redirects, and a redirect loop."""
    for at in range(8):
        script.add(host, f"/gone/{at}.jpg", reply(404, kind="text/plain"))
    for at in range(3):
        script.add(host, f"/forbidden/{at}.jpg", reply(403, kind="text/plain"))
        script.add(host, f"/private/{at}.jpg", reply(body=script.fresh()))
        script.add(host, f"/optout/{at}.jpg", reply(body=script.fresh(), headers={"X-Robots-Tag": "noai"}))
        host.script(f"/moved/{at}.jpg", reply(body=script.fresh()))
        script.add(host, f"/old/{at}.jpg", reply(302, headers={"Location": f"/moved/{at}.jpg"}))
    script.add(host, "/loop/a.jpg", reply(302, headers={"Location": "/loop/b.jpg"}))
    host.script("/loop/b.jpg", reply(302, headers={"Location": "/loop/a.jpg"}))
    host.script("/robots.txt", reply(body=b"User-agent: *\nDisallow: /private/\n", kind="text/plain"))


def _unfit(script: Script, host: Origin) -> None:
    """Responses that are no usable image: HTML, damaged files, thumbnails, blanks, empty bodies."""
    for at in range(4):
        script.add(host, f"/member/{at}.jpg", reply(body=PAGE, kind="text/html"))
        script.add(host, f"/damaged/{at}.jpg", reply(body=pictures.corrupt(500 + at)))
        script.add(host, f"/thumb/{at}.jpg", reply(body=pictures.tiny(600 + at)))
    for at in range(3):
        script.add(host, f"/placeholder/{at}.jpg", reply(body=pictures.blank()))
    script.add(host, "/empty.jpg", reply(body=b""))

"""Markup of an attacker, and a workspace in which it stands in every field that a source, a list or a host can fill.

A payload calls ``__xss()``, which the watch over a page counts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.db import new_id
from app.inputs import ListSpec
from app.jobs import submit
from app.spec import JobSpec
from app.storage import paths
from tests.browser.scenes import SCENES, draw, jpeg
from tests.browser.site import Hosts, Seeded, Site, answer_of, build, follow, ids_of, open_site
from tests.origin import Step, image, redirect, reply

__all__ = ["PAYLOADS", "Payload", "seed_hostile"]

TEXT = "<p>{}</p>"
QUOTED = '<input title="{}">'
SINGLE = "<input title='{}'>"
BARE = "<input title={}>"
LINK = '<a href="{}">go</a>'
SCRIPT = "<script>const text = '{}'</script>"
COMMENT = "<!-- {} -->"
RAW_TEXT = "<title>{}</title>"
AREA = "<textarea>{}</textarea>"
STYLE = "<style>p {{ color: {} }}</style>"


@dataclass(frozen=True)
class Payload:
    """A text, and the markup in whose place of ``{}`` it is executed if nothing escapes it; None where another reader would be needed."""

    text: str
    inside: str | None = None


PAYLOADS = (
    Payload("<script>__xss()</script>", TEXT),
    Payload("<ScRiPt >__xss()</sCrIpT >", TEXT),
    Payload("<img src=x onerror=__xss()>", TEXT),
    Payload("<img/src='x'/onerror=__xss()//", TEXT),
    Payload("<svg onload=__xss()>", TEXT),
    Payload("<svg><script>__xss()</script></svg>", TEXT),
    Payload("<svg><animate onbegin=__xss() attributeName=x dur=1s>", TEXT),
    Payload("<math><mi><svg onload=__xss()>", TEXT),
    Payload("<iframe srcdoc='<script>parent.__xss()</script>'></iframe>", TEXT),
    Payload("<iframe src='javascript:parent.__xss()'></iframe>", TEXT),
    Payload("<details open ontoggle=__xss()><summary>x</summary></details>", TEXT),
    Payload("<input autofocus onfocus=__xss()>", TEXT),
    Payload("<video><source onerror=__xss()></video>", TEXT),
    Payload("<audio src=x onerror=__xss()></audio>", TEXT),
    Payload("<object data='data:text/html,<script>parent.__xss()</script>'></object>"),
    Payload("<style>@keyframes x{}</style><b style='animation:x 1ms' onanimationstart=__xss()>x</b>", TEXT),
    Payload("</p></td></table></div></main><script>__xss()</script>", TEXT),
    Payload("--><script>__xss()</script><!--", COMMENT),
    Payload("</title><script>__xss()</script>", RAW_TEXT),
    Payload("</textarea><script>__xss()</script>", AREA),
    Payload("red}</style><script>__xss()</script>", STYLE),
    Payload("</script><script>__xss()</script>", SCRIPT),
    Payload("'; __xss(); //", SCRIPT),
    Payload("\\'; __xss(); //"),
    Payload('"><script>__xss()</script>', QUOTED),
    Payload('" autofocus onfocus="__xss()', QUOTED),
    Payload("' autofocus onfocus='__xss()", SINGLE),
    Payload("x autofocus onfocus=__xss()", BARE),
    Payload("javascript:__xss()", LINK),
    Payload("JaVaScRiPt:__xss()//http://a.example/", LINK),
    Payload("java\tscript:__xss()", LINK),
    Payload(" \x01javascript:__xss()", LINK),
    Payload("data:text/html,<script>opener.__xss()</script>"),
    Payload("vbscript:__xss()"),
    Payload("<div hx-get='/docs' hx-trigger=load hx-on::after-request=__xss()>x</div>"),
    Payload("<b hx-on:click=__xss() hx-on='load: __xss()' data-hx-on:load=__xss()>x</b>"),
    Payload("<form action='javascript:__xss()'><button>x</button></form>"),
    Payload("<base href='http://elsewhere.example/'>"),
    Payload("<meta http-equiv=refresh content='0;url=http://elsewhere.example/'>"),
    Payload("<link rel=stylesheet href='http://elsewhere.example/x.css'><img src='http://elsewhere.example/x.gif'>"),
    Payload("{{7*7}}${7*7}#{7*7}<%= 7*7 %>{% raw %}"),
    Payload("nul\x00<script>__xss()</script>"),
    Payload("\u202egnp.exe\u202c \u2066\u2067 <b onmouseover=__xss()>\u05d0\u05d1</b>"),
    Payload("lines\u2028<img src=x onerror=__xss()>\u2029\x85\ufeff"),
    Payload("&lt;script&gt;__xss()&lt;/script&gt; &#60;img src=x onerror=__xss()&#62;"),
    Payload("+ADw-script+AD4-__xss()+ADw-/script+AD4-"),
    Payload("<" + "long " * 60 + "onmouseover=__xss()>"),
    Payload("خط عربي <svg/onload=__xss()> עברית"),
)

HOST = "http://hostile.example.org"
KEYWORD = "<img src=x onerror=__xss()>"
NAME = "<svg onload=__xss()> \"'"


async def seed_hostile(workspace: Path) -> Seeded:
    """Build a dataset of a list and one of a search, with payloads in all that they and their hosts say."""
    async with open_site(workspace, works=True) as site:
        job = await _build_list(site, list(rows(site.hosts)))
        site.hosts.searches["http://openverse.example.org/v1/images/"] = answer_of(list(results(site.hosts)))
        searched = {"keyword": KEYWORD, "label": '"><script>__xss()</script>'}
        other = await build(site, keywords=[searched], sources=["openverse"], license=["open"])
        return Seeded(workspace, await ids_of(site, job, other))


async def _build_list(site: Site, listed: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Build a list file as the command line does, with its further columns."""
    key = paths.url_list(new_id("list"), ".jsonl")
    await site.resources.store.put(key, "\n".join(map(json.dumps, listed)).encode())
    spec = JobSpec(url_list=ListSpec(key=key, suffix=".jsonl", name=NAME), export_format="imagefolder", dedupe="exact")
    made = await submit.submit_build(site.resources, spec, name=NAME)
    return await follow(site, f"/v1/jobs/{made.job_id}")


def rows(hosts: Hosts) -> Iterator[dict[str, Any]]:
    """A row of a list for each payload, which stands in all of its fields; what its host answers holds it too."""
    labels = list(SCENES)
    for at, payload in enumerate(PAYLOADS):
        body = jpeg(draw(labels[at % len(labels)], 200 + at).resize((320, 240)))
        yield {
            **_texts(payload.text),
            "url": _served(hosts, at, payload.text, body),
            "boxes": [{"label": payload.text, "x": 10, "y": 10, "width": 50, "height": 50}],
            "width": 320,
            "height": 240,
        }
        if at == 0:
            yield {**_texts(payload.text), "url": hosts.serve(f"{HOST}/copy.jpg", image(body))}
    yield {"url": f"javascript:{PAYLOADS[0].text}", "title": "no URL that can be used"}
    yield {"url": "http://[<script>__xss()</script>]/", "title": "nor this"}


def _texts(text: str) -> dict[str, Any]:
    words = ("title", "caption", "label", "license", "license_raw", "license_note", "creator", "attribution", "group_id")
    addresses = ("page_url", "license_url", "creator_url")
    return {
        **dict.fromkeys(words, text),
        **dict.fromkeys(addresses, text if ":" in text[:12] else f"http://pages.example.org/?q={text}"),
        "captions": [text, f"second {text}"],
        "labels": [text, f"second {text}"],
        "note": text,
        text: text,
    }


def _served(hosts: Hosts, at: int, text: str, body: bytes) -> str:
    """Serve a picture, or refuse it, with a payload in the URL and in the headers. Returns the URL."""
    said = text.encode("ascii", "ignore").decode().translate(dict.fromkeys(range(32)))[:200]
    words = quote(text, safe="<>'()=/ ")[:400].replace(" ", "+")
    url = f"{HOST}/{at}.jpg?q={words}"
    answers: tuple[Step, ...] = (
        image(body, ETag=f'"{said}"', Content_Disposition=f"inline; filename={said}"),
        redirect(f"{HOST}/moved/{at}.jpg?final={words}"),
        image(body, X_Robots_Tag=f"noai, {said}"),
        image(body, Content_Type=said),
        reply(404, said.encode(), {"Content-Type": "text/html"}, reason=said or "X"),
        redirect(f"http://{said or 'x'}/"),
        image(body, Content_Encoding=said or "x"),
        image(body[: len(body) // 3]),
    )
    hosts.serve(f"{HOST}/moved/{at}.jpg", image(body))
    robots = f"User-agent: *\nDisallow: /private/{said}\nDisallow: /{at}.jpg?q={words}\n".encode()
    if at % 12 == 11:
        host = f"http://refuses{at}.example.org"
        hosts.serve(f"{host}/robots.txt", reply(200, robots, {"Content-Type": "text/plain"}))
        return f"{host}/{at}.jpg?q={words}"
    hosts.serve(url.partition("?")[0], answers[at // 3 % len(answers)] if at % 3 == 0 else answers[at % 2])
    return url


def results(hosts: Hosts) -> Iterator[dict[str, Any]]:
    """Images of a source's API, with a payload in every text of each."""
    for at, payload in enumerate(PAYLOADS):
        said = payload.text
        url = hosts.serve(f"{HOST}/found/{at}.jpg", image(jpeg(draw("harbour", 300 + at).resize((320, 240)))))
        yield {
            **dict.fromkeys(("id", "title", "creator", "attribution", "provider", "source", "license_version"), said),
            **dict.fromkeys(("foreign_landing_url", "creator_url", "license_url", "detail_url", "related_url"), said),
            "url": url,
            "license": "by",
            "tags": [{"name": said}],
            "filetype": "jpg",
            "width": 320,
            "height": 240,
            "mature": False,
        }

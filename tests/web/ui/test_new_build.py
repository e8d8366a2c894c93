"""The form of a new build as a browser without scripts sends it: plan, start, errors beside fields, lists, and builds like earlier ones."""

import html
import json
import re
import shlex
from typing import Any

import httpx
import pytest

from app.db import jobs
from app.job_states import CheckKind, JobState
from app.jobs import submit
from app.resources import Resources
from app.settings import load_settings
from app.spec import FolderSpec, JobSpec
from app.web import create_app
from tests.providers import PROVIDERS
from tests.web import seeds
from tests.web.conftest import Connect
from tests.web.ui.conftest import PAGE, Browser

URLS = "https://a.example/1.jpg\nhttps://b.example/2.jpg\n"
CSV = b"url,label,caption,weather\nhttps://a.example/1.jpg,cat,A cat,rain\nhttps://b.example/2.jpg,dog,A dog,sun\nnot one,cat,,\n"
NEW = "/builds/new"
START = {"start": "1"}


def listed(text: str = URLS, **more: Any) -> dict[str, Any]:
    return {"input": "list", "urls": text, "license": "", **more}


def searched(text: str = "red panda", **more: Any) -> dict[str, Any]:
    return {"input": "keywords", "keywords": text, "sources": ["cleveland"], "license": "", **more}


def problems_of(page: str) -> dict[str, str]:
    """The words beside each field."""
    found = re.findall(r'<p class="problem" id="(\w+)-problem"><bdi>(.*?)</bdi>', page)
    return {name: html.unescape(words) for name, words in found}


def hidden_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(once|list_key|list_name)" value="([^"]*)">', page))


async def plan_of(browser: Browser, fields: dict[str, Any], file: tuple[str, bytes] | None = None) -> httpx.Response:
    """Send the form as multipart, as its page says, with its first button."""
    await browser.get(NEW)
    name, body = file or ("", b"")
    files = {"file": (name, body, "application/octet-stream")}
    return await browser.client.post(NEW, data={"csrf_token": browser.token} | fields, files=files, headers=PAGE)


async def start(browser: Browser, fields: dict[str, Any], file: tuple[str, bytes] | None = None) -> httpx.Response:
    """The same with the button below the plan."""
    return await plan_of(browser, fields | START, file)


async def jobs_of(resources: Resources) -> list[Any]:
    return list((await jobs.page(resources.db)).items)


async def spec_of(resources: Resources, job: Any) -> dict[str, Any]:
    """What a job carries, with the rows of its list instead of the list."""
    rows = (await resources.store.get(job.spec["url_list"]["key"])).decode().split("\n")
    return {**job.spec, "url_list": [line.strip() for line in rows if line.strip() and not line.startswith("#")]}


async def lists_in(resources: Resources) -> list[str]:
    return [item.key async for item in resources.store.list("lists")]


async def test_the_empty_form(browser: Browser) -> None:
    """Sources that are not ready say what they lack, and by which setting; each licence says what it refuses."""
    page = (await browser.get(NEW)).text
    assert 'value="wikimedia" checked' in page
    assert 'value="flickr"' not in page
    assert "Flickr answers nobody without an API key" in page
    assert "sources.flickr.key" in page
    assert "Refuses NC, ND, reserved rights and unknown licences." in page
    assert "Show the plan" in page
    assert "Start the build" not in page


async def test_a_source_without_a_contact_names_the_setting(resources: Resources, connect: Connect) -> None:
    settings = load_settings({"workspace.path": resources.settings.workspace.path})
    page = (await connect(create_app(Resources(settings, resources.db, resources.store, resources.queue))).get(NEW, headers=PAGE)).text
    assert "set fetch.contact (PICTRAWL_FETCH__CONTACT)" in page
    assert "--contact" not in page


async def test_the_plan_comes_first_and_makes_no_job(browser: Browser, resources: Resources) -> None:
    """Rows, hosts and what the licences refuse; then the button that starts."""
    rows = "url,license\nhttps://a.example/1.jpg,cc0\nhttps://b.example/2.jpg,by-nc\n"
    answer = await plan_of(browser, listed(rows, license="open"))
    assert answer.status_code == 200
    assert "2 rows, 2 with a usable URL; the licences refuse 1 of them" in answer.text
    assert "<bdi>b.example</bdi>" in answer.text
    assert 'form="build" name="start" value="1">Start the build' in answer.text
    assert "Open licences: CC0, public domain" in answer.text
    assert await jobs_of(resources) == []
    assert await lists_in(resources) == []


async def test_a_plan_of_searches_and_a_source_that_does_not_answer(resources: Resources, connect: Connect) -> None:
    """What each source has, in a table; one that gives no count is named, and the build can be started all the same."""
    async with PROVIDERS["cleveland"](80) as provider:
        own = {"workspace.path": resources.settings.workspace.path, "sources.cleveland.base_url": provider.base_url}
        away = {"sources.gbif.base_url": "http://127.0.0.1:9", "retry.attempts": 1}
        settings = load_settings(own | away | {"fetch.allow_networks": ("127.0.0.0/8",), "fetch.ports": ()})
        browser = Browser(connect(create_app(Resources(settings, resources.db, resources.store, resources.queue))))
        page = (await plan_of(browser, searched("cat", sources=["cleveland", "gbif"], max_images="30"))).text
    assert "<td>cleveland</td>" in page
    assert "Of the results that are counted, 20 are left out." in page
    assert "no answer" in page
    assert "gbif: it was asked for a count and gave none" in page
    assert "can be started all the same" in page
    assert "Start the build" in page


async def test_start_makes_the_job_and_goes_to_it(browser: Browser, resources: Resources) -> None:
    answer = await start(browser, searched("red panda\nlynx", max_images="30", min_images="5", name="cats", priority="7"))
    (job,) = await jobs_of(resources)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job.id}")
    assert (job.target, job.min_images, job.priority) == (30, 5, 7)
    assert JobSpec(**job.spec).keywords == ["red panda", "lynx"]


async def test_the_same_form_makes_one_job(browser: Browser, resources: Resources) -> None:
    """A double click, a reload, and a list that is uploaded twice; a form that was changed makes another one."""
    fields = listed("", once="abc")
    first, again = [await start(browser, fields, ("x.csv", CSV)) for _ in range(2)]
    assert first.headers["location"] == again.headers["location"]
    assert len(await lists_in(resources)) == 1
    other = await start(browser, fields | {"seed": "3"}, ("x.csv", CSV))
    assert other.status_code == 303
    assert len(await jobs_of(resources)) == 2


async def test_an_uploaded_list_is_chosen_once(browser: Browser, resources: Resources) -> None:
    """From its plan on the page knows it, with its columns; what cannot be used of it is said."""
    plan = await plan_of(browser, listed(""), ("cats & <b>dogs</b>.csv", CSV))
    assert "1 line of the first 3 cannot be used" in plan.text
    assert "cats &amp; &lt;b&gt;dogs&lt;/b&gt;.csv" in plan.text
    kept = hidden_of(plan.text)
    assert await lists_in(resources) == [kept["list_key"]]
    answer = await start(browser, listed("", **kept))
    assert answer.status_code == 303
    (job,) = await jobs_of(resources)
    assert job.spec["url_list"]["key"] == kept["list_key"]
    assert job.spec["url_list"]["suffix"] == ".csv"
    assert await resources.store.get(kept["list_key"]) == CSV


async def test_an_uploaded_list_outlives_an_error_in_another_field(browser: Browser) -> None:
    answer = await plan_of(browser, listed("", max_images="many"), ("x.csv", CSV))
    assert answer.status_code == 422
    assert problems_of(answer.text) == {"max_images": "'many' must be a whole number"}
    assert 'value="many"' in answer.text
    again = await plan_of(browser, listed("", **hidden_of(answer.text)))
    assert again.status_code == 200


async def test_a_kept_list_is_removed_or_gone(browser: Browser, resources: Resources) -> None:
    """A key that is none of a list opens nothing."""
    kept = hidden_of((await plan_of(browser, listed(""), ("x.csv", CSV))).text)
    replaced = await plan_of(browser, listed(drop_list="1", **kept))
    assert replaced.status_code == 200
    assert "list_key" not in hidden_of(replaced.text)
    both = await plan_of(browser, listed(**kept))
    assert "a build takes one list" in problems_of(both.text)["urls"]
    await resources.store.put("blobs/aa/bb/x.txt", URLS.encode())
    for key in (f"lists/list_{'0' * 32}.csv", "blobs/aa/bb/x.txt", "../../etc/passwd"):
        answer = await start(browser, listed("", list_key=key, list_name="x"))
        assert answer.status_code == 422
        assert "no longer kept" in problems_of(answer.text)["file"]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("x.csv", b"", "the list x.csv is empty"),
        (
            "x.csv",
            b"name,label\na,b\n",
            "has no column with URLs; its columns are name, label; call one 'url' or name it with “Column of URLs”",
        ),
        ("photo.jpg", b"\xff\xd8\xff\xe0abc", "does not end in one of .txt, .csv"),
        ("x.txt", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9, "holds a JPEG image, not plain text"),
        ("x.txt", b"\x00\x01\x02\x03binary\xff\n" * 20, "no usable URL"),
        ("x.parquet", b"PAR1 and no more", "x.parquet"),
        ("x.csv", b'[{"url": "https://a.example/1.jpg"}]', "choose json as the format of the list"),
        ("x.csv.gz", b"\x1f\x8b broken", "x.csv.gz"),
        ("page.txt", b"<!doctype html><title>Log in</title>", "HTML"),
    ],
)
async def test_a_file_that_is_no_list(browser: Browser, resources: Resources, name: str, body: bytes, words: str) -> None:
    """The error stands at the field, names the file and the way out; nothing stays in the store."""
    answer = await plan_of(browser, listed(""), (name, body))
    assert answer.status_code == 422
    assert words in problems_of(answer.text)["file"]
    assert "--" not in problems_of(answer.text)["file"]
    assert await lists_in(resources) == []
    assert [path async for path in resources.store.list("")] == []


async def test_encodings_are_read_as_in_any_list(browser: Browser, resources: Resources) -> None:
    """UTF-16 and UTF-8 with their marks; a line in Latin-1 is named, and the others are taken."""
    text = "url,label\nhttps://a.example/1.jpg,café\n"
    mixed = text.encode() + "https://a.example/2.jpg,café\n".encode("latin-1")
    for body in (text.encode("utf-16"), text.encode("utf-8-sig"), mixed):
        answer = await plan_of(browser, listed(""), ("x.csv", body))
        assert answer.status_code == 200, problems_of(answer.text)
    assert "line 3: the line is not UTF-8" in html.unescape(answer.text).replace("<bdi>", "")


async def test_errors_stand_beside_their_fields(browser: Browser, resources: Resources) -> None:
    """All at once, with the value; the first one has the focus, and nothing that was typed is lost."""
    fields = searched(
        "cat\n" + "x" * 300,
        max_images="0",
        min_images="-1",
        splits="train=2",
        where="width >",
        license="words",
        license_words="by,nope",
        resize="",
        size="300",
        name="n" * 101,
        label="dog\u200b",
    )
    answer = await start(browser, fields)
    assert answer.status_code == 422
    found = problems_of(answer.text)
    assert found["keywords"].startswith("line 2: keyword 'xxx")
    assert found["max_images"] == "'0' must be at least 1"
    assert found["min_images"] == "'-1' must be at least 0"
    assert "share 2" in found["splits"]
    assert "have no effect without resizing" in found["encode"]
    assert "at most 100 characters" in found["name"]
    assert "invisible character" in found["label"]
    assert answer.text.count(" autofocus") == 1
    assert re.search(
        r'id="keywords" name="keywords" aria-invalid="true" aria-describedby="keywords-problem keywords-hint" autofocus', answer.text
    )
    assert 'value="train=2"' in answer.text
    assert "x" * 300 in answer.text
    assert await jobs_of(resources) == []
    again = await start(
        browser, fields | {"keywords": "cat", "max_images": "", "min_images": "", "splits": "", "size": "", "name": "", "label": ""}
    )
    assert problems_of(again.text).keys() == {"license", "where"}
    assert "nope" in problems_of(again.text)["license"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        (searched(""), "keywords", "there is no keyword in it"),
        (searched("# only a comment"), "keywords", "there is no keyword in it"),
        (searched("keyword,label\ncat"), "keywords", "line 2 has 1 columns"),
        (searched(sources=[]), "sources", "choose at least one source"),
        (searched(sources=["flickr"]), "sources", "Flickr answers nobody"),
        (searched(sources=["nowhere"]), "sources", "there is no source 'nowhere'"),
        (searched(max_images="3", min_images="5"), "min_images", "“At least” 5 is more than “Images” 3"),
        (searched(export_format="yolo", splits="a=0.5,b=0.5"), "splits", ""),
        (searched(also=["files"]), "also", "name each format once"),
        (searched(quality="80"), "encode", "no effect without an encoding"),
        (searched(encode="jpeg", quality="101"), "quality", "must be at most 100"),
        (searched(license="words", license_words=" "), "license", "there is no word"),
        (searched(license="stolen"), "license", "is no choice"),
        (searched(into="ds_" + "0" * 32), "into", "ds_0"),
        (searched(seed="9" * 30), "seed", ""),
        (searched(split_by=["group"]), "split_by", "has no effect on one split"),
        (listed(""), "urls", "there is no list"),
        (listed("cat\ndog"), "urls", "no usable URL"),
        (listed(per_label="3"), "per_label", "is for keywords"),
        (listed("url,label\nhttps://a.example/1.jpg,cat", label_column="breed"), "label_column", "breed"),
        (listed(url_column="link"), "url_column", "plain text has no columns"),
        ({"input": "pages", "pages": "", "license": ""}, "pages", "there is no page"),
        ({"input": "pages", "pages": "https://a.example/\nftp://b.example", "license": ""}, "pages", "ftp"),
        ({"input": "pages", "pages": "https://a.example/", "depth": "99", "license": ""}, "depth", "must be at most 20"),
        ({"input": "pages", "pages": "https://a.example/", "follow_hosts": "a b", "license": ""}, "follow_hosts", "is not a host"),
    ],
)  # fmt: skip
async def test_each_error_has_its_field(browser: Browser, resources: Resources, fields: dict[str, Any], field: str, words: str) -> None:
    answer = await start(browser, fields)
    assert answer.status_code == 422
    assert words in problems_of(answer.text).get(field, ""), problems_of(answer.text)
    assert field in problems_of(answer.text)
    assert await jobs_of(resources) == []
    assert await lists_in(resources) == []


async def test_what_strangers_wrote_is_text(browser: Browser) -> None:
    """In every field, in its error, in the commands."""
    bad = '"><script>alert(1)</script>'
    answer = await plan_of(browser, searched(bad, max_images=bad, name=bad, where=bad, splits=bad, license="words", license_words=bad))
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    plan = await plan_of(browser, listed(f"https://a.example/1.jpg\n{bad}\n", name="שלום " + bad))
    assert plan.status_code == 200
    assert "<script>alert" not in plan.text


async def test_a_long_pasted_list_is_kept_like_a_file(browser: Browser, resources: Resources, connect: Connect) -> None:
    """The page does not carry it again; one above the limit of a body is refused with the way out."""
    settings = load_settings({"workspace.path": resources.settings.workspace.path, "serve.max_body_bytes": 3_000_000})
    browser = Browser(connect(create_app(Resources(settings, resources.db, resources.store, resources.queue))))
    text = "".join(f"https://a.example/{number}.jpg\n" for number in range(20_000))
    plan = await plan_of(browser, listed(text))
    assert "20 000 rows, 20 000 with a usable URL" in plan.text
    assert len(plan.text) < 100_000
    assert (await start(browser, listed("", **hidden_of(plan.text)))).status_code == 303
    refused = await plan_of(browser, listed(text * 50))
    assert refused.status_code == 413
    assert "serve.max_body_bytes" in refused.text
    assert "pictrawl build --urls" in refused.text


async def test_the_request_that_is_shown_makes_the_same_job(browser: Browser, resources: Resources) -> None:
    """Quotes and all: the body of the curl gives the spec of the form."""
    fields = listed("https://a.example/it's.jpg\n# no\nhttps://b.example/2.jpg", splits="train=0.5,val=0.5", encode="webp", quality="80")
    plan = (await plan_of(browser, fields)).text
    command = html.unescape(re.search(r'<pre id="request" tabindex="0"><code>(.*?)</code>', plan, re.DOTALL)[1])  # type: ignore[index]
    words = shlex.split(command)
    body = json.loads(words[words.index("-d") + 1])
    assert words[-1] == "http://127.0.0.1:8080/v1/jobs"
    assert body["urls"] == ["https://a.example/it's.jpg", "https://b.example/2.jpg"]
    made = await browser.client.post("/v1/jobs", json=body)
    assert (await start(browser, fields)).status_code == 303
    of_form, of_request = [await spec_of(resources, job) for job in await jobs_of(resources)]
    assert of_form == of_request
    assert made.status_code == 202


async def test_a_build_like_another_one(browser: Browser, resources: Resources) -> None:
    """The form sends the very request again; a foreign job is not there, and a job of another kind is refused."""
    await start(browser, searched("keyword,label\ntabby,cat", max_images="7", splits="train=0.9,val=0.1", encode="jpeg", name="pets"))
    (job,) = await jobs_of(resources)
    page = (await browser.get(f"{NEW}?like={job.id}")).text
    assert "tabby,cat," in page
    assert 'name="max_images"' in page
    assert re.search(r'value="7"[^>]*id="max_images"', page)
    assert 'value="pets"' in page
    assert (await browser.get(f"{NEW}?like=job_{'0' * 32}")).status_code == 404
    listed_job = await seeds.build(resources)
    assert 'value="lists/list_1.txt"' in (await browser.get(f"{NEW}?like={listed_job.id}")).text


async def test_what_no_form_can_repeat_says_so(browser: Browser, resources: Resources) -> None:
    """A build of a folder, and a job that builds nothing."""
    spec = JobSpec(folder=FolderSpec(path="/photos", name="photos"))
    made = await submit.submit_build(resources, spec, name="x", caller=submit.Caller("local", "req_1"))
    page = await browser.get(f"{NEW}?like={made.job_id}")
    assert "on the command line only" in page.text
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    await seeds.image(resources, job, body=b"picture")
    check = await submit.submit_check(resources, CheckKind.INTEGRITY, dataset_id=job.dataset_id, caller=submit.Caller("local", "req_1"))
    answer = await browser.get(f"{NEW}?like={check.job_id}")
    assert answer.status_code == 422
    assert "only a build can be repeated" in answer.text


async def test_a_form_of_another_site_builds_nothing(browser: Browser, resources: Resources) -> None:
    await browser.get(NEW)
    browser.token = "0" * 64
    assert (await browser.post(NEW, **searched(**START))).status_code == 403
    assert await jobs_of(resources) == []


async def test_a_query_fills_the_form_in(browser: Browser) -> None:
    page = (await browser.get(f"{NEW}?keywords=owl&max_images=5&sources=gbif&nothing=1")).text
    assert "owl</textarea>" in page
    assert 'value="gbif" checked' in page
    assert 'value="wikimedia" checked' not in page

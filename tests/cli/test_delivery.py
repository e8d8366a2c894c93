"""``-o`` with a URL: the job sends the dataset to an object store, and the command says where it is and how to go on."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.delivery import Destination, parse_output
from app.cli.demo.origin import reply
from app.cli.failures import UsageError
from app.exports.destination import Delivery
from app.storage import MANIFEST
from tests.cli.conftest import LOOPBACK, ROOT, Invoke, Result, Site
from tests.exports.builders import tree
from tests.hub import DROP_AFTER, TOKEN, serve_hub
from tests.object_store import DROP, BucketServer, s3_environment, serve_buckets


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """An object store."""
    with serve_buckets() as server:
        for name, value in s3_environment(server).items():
            monkeypatch.setenv(name, value)
        yield server


def test_output_is_a_folder_or_a_url() -> None:
    """``--private`` and ``--public`` are for the Hub; without them a repository is created private."""
    assert parse_output("out", overwrite=True, private=None) == Destination(Path("out"), overwrite=True)
    assert parse_output("s3://b/x/", overwrite=True, private=None) == Delivery("s3://b/x", overwrite=True)
    assert parse_output("hf://o/n", overwrite=False, private=None) == Delivery("hf://o/n", private=True)
    assert parse_output("hf://o/n", overwrite=False, private=False) == Delivery("hf://o/n", private=False)
    for output, private in (("out", True), ("s3://b/x", False)):
        with pytest.raises(UsageError, match=rf"--p\w+ has no effect on {output}"):
            parse_output(output, overwrite=False, private=private)


def test_a_build_goes_to_a_bucket(bucket: BucketServer, site: Site, bodies: list[bytes], invoke: Invoke) -> None:
    """No folder is written; the report and the document name the URL."""
    for number, body in enumerate(bodies[:3]):
        site.add(f"/{number}.jpg", reply(body=body))
    built = invoke("build", "--urls", site.write_list(Path("list.txt")), "-o", "s3://bucket/set", *LOOPBACK, "--json")
    assert built.code == 0, built.err
    (export,) = built.json["exports"]
    assert (export["destination"], export["path"]) == ("s3://bucket/set", None)
    assert export["delivered_at"] is not None
    assert json.loads(bucket.buckets["bucket"][f"set/{MANIFEST}"].body)["samples"] == 3
    assert not Path("datasets").exists()
    assert not Path("s3:").exists()
    again = invoke("build", "--urls", "list.txt", "-o", "s3://bucket/set", "--overwrite", *LOOPBACK)
    assert again.code == 0
    assert "dataset    s3://bucket/set" in again.out


def test_further_formats_go_beside_the_first(bucket: BucketServer, mixed: Result, invoke: Invoke) -> None:
    """Each a dataset of its own; a bucket without a prefix has nothing beside it."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    sent = invoke("datasets", "export", dataset, "-o", "s3://bucket/set", "--also", "csv", "--json")
    assert sent.code == 0, sent.err
    assert [one["destination"] for one in sent.json["exports"]] == ["s3://bucket/set", "s3://bucket/set-csv"]
    assert {f"set/{MANIFEST}", f"set-csv/{MANIFEST}"} <= set(bucket.buckets["bucket"])
    refused = invoke("datasets", "export", dataset, "-o", "s3://bucket", "--also", "csv")
    assert (refused.code, "name one, as in s3://bucket/NAME" in refused.err) == (2, True)


def test_an_export_goes_to_a_bucket(bucket: BucketServer, mixed: Result, invoke: Invoke) -> None:
    """The same files that a folder would get."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert invoke("datasets", "export", dataset, "-o", "out", "--no-report").code == 0
    sent = invoke("datasets", "export", dataset, "-o", "s3://bucket/set", "-q")
    assert (sent.code, sent.out) == (0, "s3://bucket/set\n")
    assert {key.removeprefix("set/"): item.body for key, item in bucket.buckets["bucket"].items()} == tree(Path("out"))


def test_a_destination_that_refuses_says_how_to_go_on(bucket: BucketServer, mixed: Result, invoke: Invoke) -> None:
    """Exit code 5; `pictrawl resume JOB` sends the rest, and nothing twice. No key is in what is printed or logged."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    bucket.fault = lambda method, key, _: 403 if method == "PUT" and key.endswith(MANIFEST) else 0
    refused = invoke("datasets", "export", dataset, "-o", "s3://bucket/set", "-v")
    assert refused.code == 5
    job_id = invoke("jobs", "ls", "-q").out.split()[0]
    assert f"`pictrawl resume {job_id}` then goes on" in refused.out
    assert "check the credentials that the worker has in AWS_*" in refused.out
    assert "key-of-the-test" not in refused.out + refused.err
    assert f"set/{MANIFEST}" not in bucket.stored()
    bucket.fault = lambda *_: 0
    resumed = invoke("resume", job_id)
    assert resumed.code == 0, resumed.out + resumed.err
    assert "dataset    s3://bucket/set" in resumed.out
    assert {key for key, n in bucket.requests("PUT").items() if n > 1} == {f"set/{MANIFEST}"}


def test_resume_may_replace_what_is_there(bucket: BucketServer, mixed: Result, invoke: Invoke) -> None:
    """A destination that holds another dataset: --overwrite can be given afterwards."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    assert invoke("datasets", "export", dataset, "-f", "webdataset", "-o", "s3://bucket/set").code == 0
    refused = invoke("datasets", "export", dataset, "-o", "s3://bucket/set")
    assert (refused.code, "replace a dataset with --overwrite" in refused.out, "Traceback" in refused.err) == (5, True, False)
    job_id = invoke("jobs", "ls", "-q").out.split()[0]
    assert invoke("resume", job_id).code == 5
    assert invoke("resume", job_id, "--overwrite").code == 0
    assert invoke("datasets", "export", dataset, "-o", "out", "--no-report").code == 0
    assert {key.removeprefix("set/"): item.body for key, item in bucket.buckets["bucket"].items()} == tree(Path("out"))


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub says so to its own HTTP client
def test_an_export_goes_to_the_hub(mixed: Result, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """Created public as asked; the same files that a folder would get; the token is printed nowhere."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("PICTRAWL_HUB__TOKEN", TOKEN)
    with serve_hub() as hub:
        options = ["-f", "imagefolder", "--set", f"hub.endpoint={hub.endpoint}"]
        sent = invoke("datasets", "export", dataset, "-o", "hf://org/set@v1", "--public", *options, "-v", "--json")
    assert sent.code == 0, sent.err
    assert sent.json["delivery"]["url"] == f"{hub.endpoint}/datasets/org/set/tree/v1"
    assert invoke("datasets", "export", dataset, "-f", "imagefolder", "-o", "out", "--no-report").code == 0
    assert hub.files(branch="v1") == tree(Path("out"))
    assert hub.private == {"org/set": False}
    assert TOKEN not in sent.out + sent.err


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("ftp://host/x", "destination ftp://host/x is of no known kind"),
        ("s3://key:secret@bucket/x", "has credentials in it"),
        ("hf://name", "names no repository"),
    ],
)
def test_what_is_no_destination_is_refused_before_anything_is_written(mixed: Result, invoke: Invoke, output: str, said: str) -> None:
    """Exit code 2, with the way out."""
    dataset = invoke("datasets", "ls", "-q").out.strip()
    jobs = invoke("jobs", "ls", "-q").out
    for command in (["datasets", "export", dataset], ["build", "cat", "--dry-run"]):
        refused = invoke(*command, "-o", output)
        assert (refused.code, said in refused.err, "secret" in refused.err) == (2, True, False)
    assert invoke("jobs", "ls", "-q").out == jobs


def test_resume_takes_a_folder_only(mixed: Result, invoke: Invoke) -> None:
    """It names the command that sends a dataset to a URL."""
    refused = invoke("resume", "-o", "s3://bucket/x")
    assert refused.code == 2
    assert "pictrawl datasets export DATASET -o s3://bucket/x" in refused.err.replace("\n", " ")


@pytest.mark.parametrize("place", ["s3", "hf"])
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub says so to its own HTTP client
def test_killed_while_it_sends_goes_on_by_resume(
    bucket: BucketServer, mixed: Result, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """By SIGKILL, in the middle: nothing there looks whole; what had arrived is not sent again."""
    asked, killed = threading.Event(), threading.Event()

    def stop_at(method: str, path: str, _: int) -> int:
        if method == ("PUT" if place == "s3" else "POST") and path.endswith(("ATTRIBUTION.md", "/commit/main")) and not killed.is_set():
            asked.set()
            killed.wait(60)
            return DROP_AFTER if place == "hf" else DROP  # the commit counts, and nobody is there to hear it
        return 0

    with serve_hub() as hub:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for name, value in {"PICTRAWL_HUB__TOKEN": TOKEN, "PICTRAWL_HUB__ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        hub.fault = bucket.fault = stop_at
        dataset = invoke("datasets", "ls", "-q").out.strip()
        url = "s3://bucket/set" if place == "s3" else "hf://org/set"
        command = [sys.executable, "-m", "app.cli", "datasets", "export", dataset, "-o", url]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert asked.wait(60)
            process.kill()
        killed.set()
        job_id = invoke("jobs", "ls", "-q").out.split()[0]
        resumed = invoke("resume", job_id)
        assert resumed.code == 0, resumed.out + resumed.err
        assert f"dataset    {url}" in resumed.out
        assert invoke("datasets", "export", dataset, "-o", "out", "--no-report").code == 0
        if place == "s3":
            assert {key.removeprefix("set/"): item.body for key, item in bucket.buckets["bucket"].items()} == tree(Path("out"))
            assert {key for key, n in bucket.requests("PUT").items() if n > 1} <= {"set/ATTRIBUTION.md"}
        else:
            assert hub.files() == tree(Path("out"))
            added = [path for commit in hub.commits for _, path in commit]
            assert len(added) == len(set(added))

"""``-o`` with a URL: the job sends the dataset to an object store, and the command says where it is and how to go on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.delivery import Destination, parse_output
from app.cli.demo.origin import reply
from app.cli.failures import UsageError
from app.exports.destination import Delivery
from app.storage import MANIFEST
from tests.cli.conftest import LOOPBACK, Invoke, Result, Site
from tests.exports.builders import tree
from tests.hub import TOKEN, serve_hub
from tests.object_store import BucketServer, s3_environment, serve_buckets


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
    assert invoke("datasets", "export", dataset, "-o", "out").code == 0
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
    assert invoke("datasets", "export", dataset, "-f", "imagefolder", "-o", "out").code == 0
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

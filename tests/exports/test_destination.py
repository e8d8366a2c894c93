"""Tests of app.exports.destination: which URLs name a destination, and what is said of the others."""

import pytest

import errors
from app.exports.destination import Bucket, Delivery, HubRepo, columns_of, is_allowed, is_remote, parse_remote


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/prefix", Bucket("s3://bucket/prefix")),
        ("S3://bucket/a/b/", Bucket("s3://bucket/a/b")),
        ("s3://bucket", Bucket("s3://bucket")),
        ("gs://bucket/year=2026/x", Bucket("gs://bucket/year=2026/x")),
        ("az://container/prefix", Bucket("az://container/prefix")),
        ("hf://org/name", HubRepo("org/name")),
        ("hf://datasets/org/name", HubRepo("org/name")),
        ("hf://org/name@branch", HubRepo("org/name", "branch")),
        ("hf://datasets/org/name@v1/next", HubRepo("org/name", "v1/next")),
    ],
)
def test_a_url_names_a_bucket_or_a_repository(text: str, expected: Bucket | HubRepo) -> None:
    """In one spelling, whatever the spelling that was typed."""
    assert is_remote(text)
    assert parse_remote(text) == expected
    assert parse_remote(parse_remote(text).url) == expected


@pytest.mark.parametrize("text", ["out", "./s3", "a:b", "C:\\out", "/abs/s3", "hf", "s3/x"])
def test_anything_else_is_a_folder(text: str) -> None:
    """A colon alone makes no URL."""
    assert not is_remote(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://host/x", "is of no known kind; a destination is a folder, s3://BUCKET/PREFIX"),
        ("gcs://bucket/x", "is written gs://bucket/x"),
        ("https://huggingface.co/datasets/org/name", "is written hf://org/name"),
        ("file:///data/out", "is a folder: name it by its path, /data/out"),
        ("s3:/bucket/x", "is written s3://bucket/x"),
        ("hf:org/name", "is written hf://org/name"),
        ("s3://", "names no bucket; it is written s3://BUCKET/PREFIX"),
        ("s3:///prefix", "names no bucket"),
        ("s3://bucket:9000/x", "AWS_ENDPOINT"),
        ("s3://bucket/x?sig=1", "has a query or a fragment"),
        ("s3://bucket/a//b", "has '' in its prefix"),
        ("s3://bucket/../b", "has '..' in its prefix"),
        ("s3://bucket/.hidden", "has '.hidden' in its prefix"),
        ("s3://bucket/" + "a/" * 300, "more than 500 characters"),
        ("s3://[x", "is no URL"),
        ("hf://name", "names no repository; it is written hf://ORG/NAME"),
        ("hf://datasets/name", "names no repository"),
        ("hf://org/name/folder", "without a folder"),
        ("hf://models/org/name", "is no repository for datasets but one of models"),
        ("hf://org/na--me", "has 'na--me' in its name"),
        ("hf://org/name.git", "has 'name.git' in its name"),
        ("hf://org/-name", "has '-name' in its name"),
        ("hf://org/" + "n" * 94, "more than 96 characters"),
        ("hf://org/name@", "has '' in the place of a branch's name"),
        ("hf://org/name@a..b", "has 'a..b' in the place of a branch's name"),
    ],
)
def test_other_urls_are_refused_in_words(text: str, said: str) -> None:
    """The message names what is wrong and how it is written."""
    assert is_remote(text)
    with pytest.raises(errors.ValidationError) as caught:
        parse_remote(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["s3://key:secret@bucket/x", "https://user:secret@host/x", "az://secret@container", "hf://u:secret@org/name"]
)
def test_credentials_are_refused_and_not_repeated(text: str) -> None:
    """They come from the environment; the message says from which variables."""
    with pytest.raises(errors.ValidationError, match=r"credentials in it; they come from the environment") as caught:
        parse_remote(text)
    assert "secret" not in str(caught.value)


def test_the_operator_allows_whole_segments() -> None:
    """No prefix, nothing; a prefix of a name is not the name."""
    prefixes = ["s3://bucket/public/", "hf://org"]
    allowed = ["s3://bucket/public", "s3://bucket/public/a/b", "hf://org/name", "hf://org/name@branch"]
    refused = ["s3://bucket/publicity", "s3://bucket", "gs://bucket/public", "hf://organ/name"]
    assert [is_allowed(parse_remote(url), prefixes) for url in allowed] == [True] * 4
    assert [is_allowed(parse_remote(url), prefixes) for url in refused] == [False] * 4
    assert not is_allowed(parse_remote("hf://org/name"), [])
    assert is_allowed(parse_remote("hf://org/name@branch"), ["hf://org/name"])


def test_each_kind_says_where_its_credentials_come_from() -> None:
    """For messages."""
    names = {url: parse_remote(url).credentials for url in ("s3://b", "gs://b", "az://b", "hf://o/n")}
    assert names == {"s3://b": "AWS_*", "gs://b": "GOOGLE_*", "az://b": "AZURE_*", "hf://o/n": "HF_TOKEN"}


@pytest.mark.parametrize(
    ("destination", "beside"),
    [
        ("s3://bucket/cats/v2", "s3://bucket/cats/v2-webdataset"),
        ("hf://ann/cats", "hf://ann/cats-webdataset"),
        ("hf://ann/cats@dev", "hf://ann/cats-webdataset@dev"),
    ],
)
def test_a_further_format_goes_beside_the_first(destination: str, beside: str) -> None:
    """Never into another bucket, and with the same rights."""
    delivery = Delivery(destination, overwrite=True, private=False)
    assert delivery.beside("webdataset") == Delivery(beside, overwrite=True, private=False)
    assert columns_of(delivery, "files", "files")["destination"] == destination
    assert columns_of(delivery, "webdataset", "files")["destination"] == beside
    assert columns_of(None, "webdataset", "files") == {}


@pytest.mark.parametrize(
    ("destination", "words"),
    [("s3://bucket", "has no prefix, and csv goes beside it; name one, as in s3://bucket/NAME"), (f"hf://ann/{'x' * 91}", "more than 96")],
)
def test_what_has_nothing_beside_it_is_refused(destination: str, words: str) -> None:
    """Rather than written to a bucket of somebody else."""
    with pytest.raises(errors.ValidationError, match=words):
        Delivery(destination).beside("csv")

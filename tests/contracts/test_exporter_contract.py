"""The contract of an exporter: what holds for every format."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain import Sample
from app.exports import formats
from app.exports.exporter import Exporter
from app.exports.sidecars import REPORT, REPORT_MARK
from tests.exports.builders import OPTIONS, SIDECARS, Bodies, each, sample, samples, tree


@pytest.fixture(params=sorted(formats.EXPORTERS))
def exporter(request: pytest.FixtureRequest) -> Exporter:
    """One exporter of each format."""
    return formats.get_exporter(request.param)


async def test_what_is_written_verifies(exporter: Exporter, tmp_path: Path) -> None:
    """Counts in the report are those of the samples; every sidecar is there; nothing unfinished is."""
    report = await exporter.write(each(samples(10)), Bodies(), tmp_path, OPTIONS)
    assert (report.format, report.samples) == (exporter.format, 10)
    assert report.splits == {"test": 2, "train": 8}
    assert report.labels == {"Hot Dog": 5, "cat": 5}
    found = tree(tmp_path)
    assert set(found) >= SIDECARS
    assert not [path for path in found if path.endswith(".part")]
    assert report.size_bytes == sum(map(len, found.values()))
    verdict = await exporter.verify(tmp_path, report)
    assert verdict.is_good, verdict.problems
    assert verdict.samples == 10


async def test_a_report_beside_an_export_is_no_problem(exporter: Exporter, tmp_path: Path) -> None:
    """It is no part of the export; a file of any other name is a problem where the format says what may be there."""
    report = await exporter.write(each(samples(10)), Bodies(), tmp_path, OPTIONS)
    (tmp_path / REPORT).write_bytes(REPORT_MARK)
    verdict = await exporter.verify(tmp_path, report)
    assert verdict.is_good, verdict.problems
    (tmp_path / "another.html").write_bytes(REPORT_MARK)
    assert not (await exporter.verify(tmp_path, report)).is_good


async def test_the_same_samples_give_the_same_bytes(exporter: Exporter, tmp_path: Path) -> None:
    """Whenever and wherever, and in whatever order reads come back."""

    class Unordered(Bodies):
        async def __call__(self, items: Sequence[Sample]) -> list[bytes]:
            for _ in range(hash(items[0]) % 7):
                await asyncio.sleep(0)
            return await super().__call__(items)

    first = await exporter.write(each(samples(123)), Bodies(), tmp_path / "one", OPTIONS)
    second = await exporter.write(each(samples(123)), Unordered(), tmp_path / "two/deep", OPTIONS)
    assert first == second
    assert tree(tmp_path / "one") == tree(tmp_path / "two/deep")


async def test_an_export_knows_nothing_of_where_it_was_made(exporter: Exporter, tmp_path: Path) -> None:
    """No absolute path in any file."""
    await exporter.write(each(samples(5)), Bodies(), tmp_path, OPTIONS)
    assert not [path for path, body in tree(tmp_path).items() if str(tmp_path).encode() in body]


async def test_an_empty_dataset_is_an_export_too(exporter: Exporter, tmp_path: Path) -> None:
    """With every sidecar and no image."""
    report = await exporter.write(each([]), Bodies(), tmp_path, OPTIONS)
    assert report.samples == 0
    assert set(tree(tmp_path)) >= SIDECARS
    assert (await exporter.verify(tmp_path, report)).is_good


async def test_one_image_in_two_classes_is_two_samples(exporter: Exporter, tmp_path: Path) -> None:
    """Names come from the index too, so that equal bytes do not collide."""
    body = b"\xff\xd8 the same"
    items = [sample(0, body, label="a", split="train"), sample(1, body, label="b", split="train")]
    report = await exporter.write(each(items), Bodies([body, body]), tmp_path, OPTIONS)
    assert report.labels == {"a": 1, "b": 1}
    assert (await exporter.verify(tmp_path, report)).is_good


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(st.text(max_size=12), st.one_of(st.none(), st.text(max_size=12))), min_size=1, max_size=6))
def test_no_text_breaks_an_export(
    exporter: Exporter, tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str | None]]
) -> None:
    """Labels, captions, titles and creators of any characters: it verifies, and all names are portable."""
    folder = tmp_path_factory.mktemp("e")
    items = [
        sample(n, label=label, caption=text, title=text, creator=text, license=text, url=label, split="train")
        for n, (label, text) in enumerate(texts)
    ]

    async def round_trip() -> None:
        report = await exporter.write(each(items), Bodies(), folder, OPTIONS)
        verdict = await exporter.verify(folder, report)
        assert verdict.is_good, verdict.problems

    asyncio.run(round_trip())
    for path in tree(folder):
        assert path.isascii()
        assert len(path) <= 200
        assert not set(path) & set('\\:*?"<>| ')
    assert json.loads((folder / "manifest.json").read_text())["samples"] == len(items)

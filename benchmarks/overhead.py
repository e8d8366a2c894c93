"""What retrying, recording attempts and logging cost of the CPU that an image takes on its way through the pipeline.

::

    python benchmarks/overhead.py                  # 1,500 images
    python benchmarks/overhead.py --images 300 --json FILE

Three measurements: how much CPU `pictrawl build` takes for an image, child processes included; how often an image has each thing done
to it, counted by the profiler in a run of its own; and what each costs, called alone as the pipeline calls it. `pictrawl audit` measures
the same over fewer and smaller images, with the same code. Needs nginx and taskset.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import origin

from app.audit.costs import logging_costs, retry_costs
from app.audit.overhead import BOUNDS, Part, parts, share_of
from app.audit.pipeline import Built, build, counts


def built(folder: Path, urls: Sequence[str], profile: Path | None = None) -> Built:
    """Run ``pictrawl build`` over images of the origin; all of them must be kept."""
    found = build(folder, urls, "--dedupe", "none", profile=profile)
    kept = found.document["funnel"]["kept"]
    if kept != len(urls):
        raise SystemExit(f"{kept} of {len(urls)} images were kept")
    return found


def show(cpu_us_per_image: float, found: Sequence[Part]) -> dict[str, bool]:
    """Print the table; return what is within its bound."""
    print(f"CPU for one image, from list to dataset: {cpu_us_per_image:,.0f} us\n")
    print(f"{'part':<24}{'what':<44}{'calls':>8}{'us a call':>11}{'us an image':>13}{'share':>9}")
    for part in found:
        share = part.us_per_image / cpu_us_per_image
        print(f"{part.of:<24}{part.what:<44}{part.calls:>8.2f}{part.cost_us:>11.2f}{part.us_per_image:>13.2f}{share:>9.3%}")
    verdicts = {}
    print()
    for of, most in BOUNDS.items():
        share = share_of(of, found, cpu_us_per_image)
        verdicts[of] = share < most
        print(f"{of}: {share:.2%} of an image's CPU, bound {most:.0%}: {'ok' if verdicts[of] else 'MISSED'}")
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "pictrawl-bench", help="scratch folder, kept")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    place = origin.make_place(options.home)
    with tempfile.TemporaryDirectory(prefix="pictrawl-overhead-") as name, origin.started(place, origin.cores()[1]) as served:
        folder, urls = Path(name), origin.urls_of(served.http, options.images)
        run = built(folder / "timed", urls)
        built(folder / "counted", urls, folder / "profile")
        often = counts(folder / "profile", options.images)
        retrying, logging = asyncio.run(retry_costs(run.workspace)), logging_costs(folder)
    cpu_us_per_image = run.cpu_s / options.images * 1e6
    found = parts(often, len(run.lines) / options.images, retrying, logging)
    verdicts = show(cpu_us_per_image, found)
    if options.json:
        report = {"cpu_us_per_image": cpu_us_per_image, "parts": [asdict(part) for part in found], "within": verdicts}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

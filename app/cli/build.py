"""``pictrawl build``: everything that can be wrong is refused first, then a job is made, carried out and delivered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.state import Cli

if TYPE_CHECKING:
    from app.cli.lists import UrlList
    from app.cli.working import Desk
    from app.settings import Settings
    from app.spec import JobRequest

__all__ = ["Wishes", "build", "perform"]

Dedupe = Literal["none", "exact", "near"]
Format = Literal["files", "imagefolder", "webdataset"]
LevelName = Literal["basic", "standard", "strict"]
Resize = Literal["none", "keep_ratio", "center_crop", "border"]

WHAT, HOW_MANY, QUALITY, OUTPUT, MANNERS = "What", "How many", "Quality", "Output", "Politeness"


def _option(panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, show_default=False, **more)


def build(
    cli: Cli,
    keywords: Annotated[list[str] | None, typer.Argument(metavar="KEYWORDS", help="What to search for.", show_default=False)] = None,
    urls: Annotated[list[str] | None, _option(WHAT, "--urls", metavar="FILE|-", help="A list of image URLs instead: txt, csv, tsv, json, jsonl, parquet; also .gz, .zst.")] = None,
    url_col: Annotated[str | None, _option(WHAT, "--url-col", metavar="NAME", help="Column of URLs; default: the one that looks like it.")] = None,
    caption_col: Annotated[str | None, _option(WHAT, "--caption-col", metavar="NAME", help="Column of captions.")] = None,
    label_col: Annotated[str | None, _option(WHAT, "--label-col", metavar="NAME", help="Column of labels.")] = None,
    license_col: Annotated[str | None, _option(WHAT, "--license-col", metavar="NAME", help="Column of licences.")] = None,
    list_format: Annotated[str | None, _option(WHAT, "--list-format", metavar="KIND", help="Kind of the list where its name does not tell: txt, csv.gz, …")] = None,
    label: Annotated[str | None, _option(WHAT, "--label", metavar="NAME", help="Label of every image; default: the keyword, or the list's.")] = None,
    name: Annotated[str | None, _option(WHAT, "--name", metavar="NAME", help="Name of the dataset; default: the keywords, or the list.")] = None,
    source: Annotated[list[str] | None, _option(WHAT, "--source", "-s", metavar="NAME", help="Where to search; may be repeated (wikimedia).")] = None,
    expand: Annotated[int, _option(WHAT, "--expand", min=0, max=20, metavar="N", help="Also search up to N other names of each keyword.")] = 0,
    lang: Annotated[list[str] | None, _option(WHAT, "--lang", metavar="CODE", help="Language for --expand; may be repeated (en).")] = None,
    max_images: Annotated[int | None, _option(HOW_MANY, "--max-images", "-n", min=1, metavar="N", help="Stop at N; default: 100 for keywords, all of a list.")] = None,
    min_images: Annotated[int, _option(HOW_MANY, "--min-images", min=0, metavar="N", help="Fewer than N is exit code 3.")] = 0,
    level: Annotated[LevelName | None, _option(QUALITY, "--level", help="How strictly images are checked (standard).")] = None,
    min_size: Annotated[str | None, _option(QUALITY, "--min-size", metavar="WxH", help="Smallest image taken, pixels (64x64).")] = None,
    dedupe: Annotated[Dedupe, _option(QUALITY, "--dedupe", help="Which duplicates are dropped (near).")] = "near",
    encode: Annotated[str | None, _option(OUTPUT, "--encode", metavar="FORMAT[:QUALITY]", help="keep, jpeg, webp or png, as in webp:80 (keep).")] = None,
    resize: Annotated[Resize | None, _option(OUTPUT, "--resize", help="How --size is reached (none).")] = None,
    size: Annotated[int | None, _option(OUTPUT, "--size", min=8, max=16384, metavar="PX", help="Side in pixels for --resize (256).")] = None,
    export_format: Annotated[Format | None, _option(OUTPUT, "--format", "-f", help="Form of the dataset (files).")] = None,
    output: Annotated[Path | None, _option(OUTPUT, "--output", "-o", metavar="DIR", help="Where it goes (./datasets/NAME).")] = None,
    overwrite: Annotated[bool, _option(OUTPUT, "--overwrite", help="Replace what stands there.")] = False,
    split: Annotated[str | None, _option(OUTPUT, "--split", metavar="NAME=SHARE,…", help="As in train=0.8,val=0.1,test=0.1 (train=1).")] = None,
    seed: Annotated[int, _option(OUTPUT, "--seed", metavar="N", help="For the splits (0).")] = 0,
    per_host: Annotated[int | None, _option(MANNERS, "--per-host", min=1, metavar="N", help="Requests at once to one host (2).")] = None,
    concurrency: Annotated[int | None, _option(MANNERS, "--concurrency", min=1, metavar="N", help="Requests at once in all (64).")] = None,
    contact: Annotated[str | None, _option(MANNERS, "--contact", metavar="MAIL|URL", help="How origins can reach you; sent in the User-Agent.")] = None,
    no_robots: Annotated[bool, _option(MANNERS, "--no-robots", help="Do not ask robots.txt; only for hosts of your own.")] = False,
    detach: Annotated[bool, _option("Run", "--detach", help="Only make the job; a running worker or server does the work.")] = False,
) -> int:  # fmt: skip
    """Build a dataset from keywords or a list of URLs.

    Interrupt it at any time: `pictrawl resume` goes on where it stopped, and no URL that has an outcome is requested again.
    """
    from app.cli.session import run

    return run(perform(cli, Wishes(**{name: value for name, value in locals().items() if name not in ("cli", "run")})))


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of one build, as they were given."""

    keywords: list[str] | None = None
    urls: list[str] | None = None
    url_col: str | None = None
    caption_col: str | None = None
    label_col: str | None = None
    license_col: str | None = None
    list_format: str | None = None
    label: str | None = None
    name: str | None = None
    source: list[str] | None = None
    expand: int = 0
    lang: list[str] | None = None
    max_images: int | None = None
    min_images: int = 0
    level: LevelName | None = None
    min_size: str | None = None
    dedupe: Dedupe = "near"
    encode: str | None = None
    resize: Resize | None = None
    size: int | None = None
    export_format: Format | None = None
    output: Path | None = None
    overwrite: bool = False
    split: str | None = None
    seed: int = 0
    per_host: int | None = None
    concurrency: int | None = None
    contact: str | None = None
    no_robots: bool = False
    detach: bool = False

    @property
    def manners(self) -> dict[str, Any]:
        """The options that stand for settings."""
        return {name: getattr(self, name) for name in ("per_host", "concurrency", "contact", "no_robots")}


async def perform(cli: Cli, wishes: Wishes, more: Mapping[str, Any] | None = None) -> int:
    """Carry out a build; ``more`` are settings by dotted name that win over the user's."""
    from app.cli.delivery import Destination
    from app.cli.ending import close_build
    from app.cli.lists import Columns, opened_list, say_problems
    from app.cli.wishes import setting_flags
    from app.cli.working import workplace

    settings = cli.settings(setting_flags(wishes.manners) | dict(more or {}))
    columns = Columns(wishes.url_col, wishes.caption_col, wishes.label_col, wishes.license_col)
    with opened_list(wishes.urls or [], columns, wishes.list_format) as url_list:
        plan = _check(settings, wishes, url_list)
        if url_list is not None:
            say_problems(cli, url_list)
        async with workplace(cli, settings, "build", detached=wishes.detach) as desk:
            if wishes.detach:
                return await plan.hand_in(desk, url_list)
            job_id = await desk.carry_out(lambda: plan.submit(desk, url_list), f"{plan.name} > {plan.folder}")
            return await close_build(desk, job_id, Destination(plan.folder, plan.overwrite))


def _check(settings: "Settings", wishes: Wishes, url_list: "UrlList | None") -> "Plan":
    """Everything that can be refused without writing anything."""
    from app import discovery
    from app.cli.delivery import Destination

    keywords = list(discovery.keywords.clean(wishes.keywords or []))
    _check_words(wishes, keywords, has_list=url_list is not None)
    request = _request(settings, wishes, keywords, has_list=url_list is not None)
    if keywords:
        for source in request.sources:
            discovery.check_source(source, contact=settings.fetch.contact)
    from app.cli.wishes import name_of

    name = wishes.name or wishes.label or name_of(keywords, url_list.spec.name if url_list else None)
    folder = wishes.output or Path("datasets") / discovery.keywords.slug(name)
    Destination(folder, wishes.overwrite).check(settings.workspace.path)
    return Plan(request, name, folder, wishes.overwrite)


def _check_words(wishes: Wishes, keywords: list[str], *, has_list: bool) -> None:
    from app.cli.failures import Refused

    if not keywords and not has_list:
        raise Refused("nothing to build: no keywords and no list", 'pictrawl build "red panda" -n 100, or pictrawl build --urls list.txt')
    if keywords and has_list:
        raise Refused("keywords and a list in one build", "leave one of them out; a list brings its own images")
    only_lists = {"--url-col": wishes.url_col, "--caption-col": wishes.caption_col, "--label-col": wishes.label_col}
    only_lists |= {"--license-col": wishes.license_col, "--list-format": wishes.list_format}
    only_keywords = {"--source": wishes.source, "--expand": wishes.expand, "--lang": wishes.lang}
    lost = [name for name, value in (only_keywords if has_list else only_lists).items() if value]
    if lost:
        raise Refused(f"{lost[0]} means nothing {'with a list' if has_list else 'without --urls'}", "leave it out")


def _request(settings: "Settings", wishes: Wishes, keywords: list[str], *, has_list: bool) -> "JobRequest":
    from app.cli import wishes as meaning
    from app.resources import compression_rules
    from app.spec import JobRequest

    width, height = meaning.sides(wishes.min_size)
    given = {"sources": wishes.source, "lang": wishes.lang}
    return JobRequest(
        keywords=keywords,
        urls=["in a list"] if has_list else None,
        expand=wishes.expand,
        name=wishes.name,
        label=wishes.label,
        max_images=wishes.max_images,
        min_images=wishes.min_images,
        validation_level=wishes.level,
        min_width=width,
        min_height=height,
        dedupe=wishes.dedupe,
        compression=meaning.compression(compression_rules(settings), encode=wishes.encode, resize=wishes.resize, size=wishes.size),
        export_format=wishes.export_format,
        splits=meaning.shares(wishes.split),
        seed=wishes.seed,
        **{name: value for name, value in given.items() if value},
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """A build that may begin."""

    request: "JobRequest"
    name: str
    folder: Path
    overwrite: bool

    async def submit(self, desk: "Desk", url_list: "UrlList | None") -> str:
        """Store the list, write the job, wake the workers; return the job's id."""
        from app import submit

        stored = await submit.store_list(desk.resources, url_list.path, url_list.spec) if url_list else None
        spec = submit.settle(desk.resources, self.request, url_list=stored, output=str(self.folder.absolute()))
        spec = spec.model_copy(update={"overwrite": self.overwrite})
        return (await submit.submit_build(desk.resources, spec, name=self.name)).job_id

    async def hand_in(self, desk: "Desk", url_list: "UrlList | None") -> int:
        """Only make the job."""
        from app.cli.working import warn_without_workers

        job_id = await self.submit(desk, url_list)
        await warn_without_workers(desk.cli, desk.resources.db)
        text = f"job {job_id} is waiting for a worker\n  watch      pictrawl jobs watch {job_id}\n  deliver    pictrawl resume {job_id}"
        desk.cli.result(text, {"job_id": job_id, "status": "pending"}, brief=job_id)
        return 0

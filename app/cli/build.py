"""``pictrawl build``: everything that can be wrong is refused first, then a job is made, carried out and delivered."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.options import taking
from app.cli.state import Cli
from app.cli.wanting import Wishes

if TYPE_CHECKING:
    from app.cli.lists import UrlList
    from app.cli.working import Desk
    from app.images import DecoderPool
    from app.settings import Settings
    from app.spec import JobRequest

__all__ = ["build", "perform"]


@taking(Wishes)
def build(cli: Cli, **options: Any) -> int:
    """Build a dataset from keywords or a list of URLs.

    Interrupt it at any time: `pictrawl resume` goes on where it stopped, and no URL that has an outcome is requested again.
    """
    from app.cli.session import run

    return run(perform(cli, Wishes(**options)))


async def perform(cli: Cli, wishes: Wishes, more: Mapping[str, Any] | None = None) -> int:
    """Carry out a build; ``more`` are settings by dotted name that win over the user's."""
    from app.cli.ahead import decoders_ahead
    from app.cli.lists import Columns, opened_list, say_problems
    from app.cli.wishes import setting_flags

    settings = cli.settings(setting_flags(wishes.manners) | dict(more or {}))
    columns = Columns(wishes.url_col, wishes.caption_col, wishes.label_col, wishes.license_col)
    with opened_list(wishes.urls or [], columns, wishes.list_format) as url_list:
        plan = _check(settings, wishes, url_list)
        if url_list is not None:
            say_problems(cli, url_list)
        async with decoders_ahead(settings, detached=plan.detach) as decoders:
            return await _carry_out(cli, settings, plan, url_list, decoders)


async def _carry_out(cli: Cli, settings: "Settings", plan: "Plan", url_list: "UrlList | None", decoders: "DecoderPool | None") -> int:
    """Do what is planned, or hand it in. What this takes is imported only now, while the decoders start."""
    from app.cli.delivery import Destination
    from app.cli.ending import close_build
    from app.cli.working import workplace

    async with workplace(cli, settings, "build", detached=plan.detach, decoders=decoders) as desk:
        if plan.detach:
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
    return Plan(request, name, folder, wishes.overwrite, wishes.detach)


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
    from app.rules import compression_rules
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
    detach: bool

    async def submit(self, desk: "Desk", url_list: "UrlList | None") -> str:
        """Store the list, write the job, wake the workers; return the job's id."""
        from app.jobs import submit

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

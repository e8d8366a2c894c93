"""``pictrawl build``: check everything that can be wrong, then submit a job, run it and deliver its dataset."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import discovery
from app.cli import folder_input
from app.cli.build_options import (
    OPTION_NAMES,
    STDIN,
    BuildOptions,
    parse_compression,
    parse_size,
    parse_splits,
    parse_where,
    validation_as_usage,
)
from app.cli.build_pages import CRAWL_OPTIONS, read_pages
from app.cli.delivery import Destination, check_output, parse_output
from app.cli.failures import UsageError
from app.cli.list_input import Columns, UrlList, note_columns, open_url_list, warn_of_bad_lines
from app.cli.options import Cli, parse_ui, with_options_of
from app.cli.plan import show_folder_plan, show_list_plan, show_pages_plan, show_plan
from app.cli.runner import JobRunner, open_runner
from app.cli.session import run, warn_without_workers
from app.cli.settings import load_settings
from app.datasets.update import submit_into
from app.db import jobs, lookup
from app.discovery import keyword_file
from app.discovery.keywords import InputKind
from app.exports.destination import Delivery
from app.formatting import clipped, count, size
from app.jobs import settle, submit
from app.jobs.attendance import is_unattended, mark_unattended
from app.pages_spec import PagesSpec
from app.resources import source_options
from app.settings import Settings
from app.spec import FolderSpec, JobRequest, Keyword

__all__ = ["build", "run_build"]

SHOWN_UNFINISHED = 3

FILE_HINTS: Mapping[InputKind, str] = {
    "a URL": "images of a page: --pages URL; image URLs as a list, one a line: --urls list.txt; `pictrawl fetch URL` fetches one",
    "a list": "there is no such file here; a list of URLs is given as --urls FILE",
    "an image file": "images are fetched by their URLs: --urls list.txt, one a line; those of a folder are read: --folder PATH",
    "a folder": "there is no such folder here; a folder of images is given as --folder PATH",
}
"""What to do about a word that is no keyword, by its kind."""

OWN_OPTIONS: Mapping[str, tuple[str, Sequence[str]]] = {
    "keywords": ("keywords", ("source", "expand", "lang", "per_label")),
    "a list": ("--urls", ("url_col", "caption_col", "label_col", "license_col", "group_col", "keep_col", "list_format")),
    "pages": ("--pages", CRAWL_OPTIONS),
    "requests": ("requests", ("refresh", "per_host", "concurrency", "contact", "no_robots")),
}
"""Options that have an effect on one kind of input only, or where something is requested, and what gives that input."""

DEFAULTS = BuildOptions()


@with_options_of(BuildOptions)
def build(cli: Cli, **options: Any) -> int:
    """Build a dataset from keywords, URLs, pages or a folder of images.

    Interrupt it at any time: `pictrawl resume` continues where it stopped, and no URL that has an outcome is requested again.
    """
    return run(run_build(cli, BuildOptions(**options)))


async def run_build(cli: Cli, options: BuildOptions, more: Mapping[str, Any] | None = None) -> int:
    """Run a build; ``more`` are settings by dotted name that win over the user's."""
    settings = load_settings(cli, options.settings | dict(more or {}))
    ui_port = parse_ui(options.ui, options.port)
    if options.ui and (options.detach or options.dry_run):
        raise UsageError(f"--ui has no effect with --{'detach' if options.detach else 'dry-run'}", "`pictrawl serve` shows the pages")
    if options.keywords_file == STDIN and STDIN in (options.urls or []):
        raise UsageError("--keywords-file - and --urls - both read stdin", "a build takes keywords or a list")
    columns = Columns(options.url_col, options.caption_col, options.label_col, options.license_col, options.group_col, options.keep_col)
    with open_url_list(options.urls or [], columns, options.list_format) as urls:
        plan = _plan(settings, options, urls)
        if options.dry_run:
            return await _dry_run(cli, settings, plan, urls)
        if urls is not None:
            warn_of_bad_lines(cli, urls)
            note_columns(cli, urls)
        if plan.folder is not None:
            folder_input.note_contents(cli, plan.folder)
        async with open_runner(
            cli, settings, "build", given=options.settings, detached=options.detach, prestart=True, ui_port=ui_port
        ) as runner:
            if options.detach:
                return await _submit_only(runner, plan, urls)
            await _note_unfinished(runner)
            job_id = await runner.run_job(lambda: _submit(runner, plan, urls), f"{plan.name} > {plan.destination}")
            return await runner.finish_build(job_id, plan.destination)


async def _dry_run(cli: Cli, settings: Settings, plan: "BuildPlan", urls: UrlList | None) -> int:
    request = plan.request
    if plan.folder is not None:
        return await show_folder_plan(cli, plan.folder, request)
    if urls is not None:
        return await show_list_plan(cli, urls.path, urls.spec, request)
    return show_pages_plan(cli, request.pages) if request.pages is not None else await show_plan(cli, settings, request)


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """A build whose options have been checked."""

    request: JobRequest
    name: str
    destination: Destination | Delivery
    folder: FolderSpec | None = None


def _plan(settings: Settings, options: BuildOptions, urls: UrlList | None) -> BuildPlan:
    """Check everything that can be wrong before anything is written."""
    _refuse_files(options.keywords or [], has_list=urls is not None)
    keywords = _keywords(options)
    _check_options(options, keywords)
    pages = read_pages(options)
    folder = folder_input.find_folder(options.folder, settings) if options.folder else None
    with validation_as_usage():
        request = _request(settings, options, keywords, pages, has_list=urls is not None or folder is not None)
    if keywords and not options.dry_run:
        for source in request.sources:
            discovery.check_source(source, source_options(settings, source))
    given = urls.spec.name if urls else pages.host if pages else folder.name if folder else None
    name = options.dataset_name([item.keyword for item in keywords], given)
    output = options.output or str(Path("datasets") / discovery.keywords.slug(name))
    destination = parse_output(output, overwrite=options.overwrite, private=options.private)
    if not options.dry_run:
        check_output(destination, settings, request.also)
    if folder is not None and isinstance(destination, Destination):
        folder_input.check_destination(folder, destination)
    return BuildPlan(request, name, destination, folder)


def _refuse_files(words: Sequence[str], *, has_list: bool) -> None:
    """Refuse URLs and names of files among the keywords: a search for them finds nothing.

    Raises:
        UsageError: there is one; the hint says how it is given.
    """
    for word in words:
        kind: InputKind | None = "a list" if Path(word).is_file() else discovery.keywords.input_kind(word)
        if kind is None:
            continue
        shown = clipped(word, 200)
        if kind == "a list" and has_list:
            raise UsageError(f"{shown} is a second list; a build takes one", "join them: cat a.txt b.txt | pictrawl build --urls -")
        if kind == "a folder" and Path(word).is_dir():
            raise UsageError(f"{shown} is a folder", f"did you mean --folder {shown}?")
        if kind == "a list" and Path(word).is_file():
            raise UsageError(f"{shown} is a file", f"did you mean --urls {shown}?")
        raise UsageError(f"{shown} is {kind}, not a word to search for", FILE_HINTS[kind])


def _keywords(options: BuildOptions) -> Sequence[Keyword]:
    """The keywords of the arguments, then those of the file.

    Raises:
        UsageError: the file cannot be read, or stdin is a terminal.
        errors.ValidationError: a keyword cannot be searched for; of the file with its line.
    """
    typed = [Keyword(keyword=word) for word in discovery.keywords.clean(options.keywords or [])]
    name = options.keywords_file
    if name is None:
        return typed
    listed = keyword_file.parse(_read_keywords(name), "stdin" if name == STDIN else Path(name).name)
    return discovery.keywords.settle([*typed, *listed])


def _read_keywords(name: str) -> bytes:
    if name == STDIN and sys.stdin.isatty():
        raise UsageError("--keywords-file - reads stdin, and stdin is a terminal", "pipe words in: cat words.txt | pictrawl build ...")
    try:
        if name == STDIN:
            body = sys.stdin.buffer.read(keyword_file.MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                body = file.read(keyword_file.MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the keywords {name} cannot be read: {error.strerror}", "check the path; - reads from stdin") from error
    if len(body) > keyword_file.MAX_BYTES:
        raise UsageError(f"the keywords {name} have more than {size(keyword_file.MAX_BYTES)}", "a list of URLs is given as --urls FILE")
    return body


def _check_options(options: BuildOptions, keywords: Sequence[Keyword]) -> None:
    given = {"keywords": keywords, "a list": options.urls, "pages": options.pages, "a folder": options.folder}
    inputs = [name for name, value in given.items() if value]
    if not inputs:
        hint = 'pictrawl build "red panda" -n 100, or --urls list.txt, or --pages https://example.org/gallery, or --folder photos'
        raise UsageError("nothing to build: no keywords, no list, no pages and no folder", hint)
    if len(inputs) > 1:
        raise UsageError(f"{' and '.join(inputs)} in one build", "leave one of them out; a list, pages and a folder name their own images")
    for owner, (needed, names) in OWN_OPTIONS.items():
        is_owner = owner == inputs[0] or (owner == "requests" and not options.folder)
        unused = next((name for name in names if not is_owner and getattr(options, name) != getattr(DEFAULTS, name)), None)
        if unused is not None:
            where = f"with {inputs[0]}" if owner == "keywords" or options.folder else f"without {needed}"
            raise UsageError(f"{OPTION_NAMES[unused]} has no effect {where}", "leave it out")


def _request(
    settings: Settings, options: BuildOptions, keywords: Sequence[Keyword], pages: PagesSpec | None, *, has_list: bool
) -> JobRequest:
    width, height = parse_size(options.min_size)
    given = {"sources": options.source, "lang": options.lang}
    rules = parse_compression(
        settings.compress.rules(), encode=options.encode, resize=options.resize, size=options.size, only_if_bigger=options.only_if_bigger
    )
    return JobRequest(
        keywords=list(keywords),
        urls=["in a list"] if has_list else None,
        pages=pages,
        expand=options.expand,
        into=options.into,
        name=options.name,
        label=options.label,
        license=_license_words(options),
        license_unknown=options.license_unknown,
        max_images=options.max_images,
        per_label=options.per_label,
        min_images=options.min_images,
        min_images_per_label=options.min_images_per_label,
        where=parse_where(options.where, is_build=True),
        max_per_label=options.max_per_label,
        balance=options.balance,
        validation_level=options.level,
        min_width=width,
        min_height=height,
        dedupe=options.dedupe,
        label_conflicts=options.label_conflicts,
        captions=options.captions,
        compression=rules,
        export_format=options.export_format,
        also=options.also or [],
        splits=parse_splits(options.split),
        split_by=[kind.strip() for kind in options.split_by.split(",")] if options.split_by else None,
        seed=options.seed,
        refresh=options.refresh,
        **{name: value for name, value in given.items() if value},
    )


def _license_words(options: BuildOptions) -> list[str] | None:
    """The words of ``--license``; they are checked before anything is written."""
    if options.license is None:
        return None
    words = [word.strip() for item in options.license for word in item.split(",") if word.strip()]
    discovery.LicencePolicy.of(words)
    return words


async def _submit(runner: JobRunner, plan: BuildPlan, urls: UrlList | None) -> str:
    """Store the list, write the job, wake the workers; return the job's id."""
    resources = runner.resources
    stored = await settle.store_list(resources, urls.path, urls.spec) if urls else None
    with validation_as_usage():
        spec = settle.resolve_spec(resources, plan.request, url_list=stored, folder=plan.folder)
    spec = spec.model_copy(update=plan.destination.spec)
    if plan.request.into is None:
        return (await submit.submit_build(resources, spec, name=plan.name)).job_id
    base_id = await lookup.dataset_id(resources.db, plan.request.into)
    return (await submit_into(resources, plan.request, spec, base_id)).job_id


async def _submit_only(runner: JobRunner, plan: BuildPlan, urls: UrlList | None) -> int:
    job_id = await _submit(runner, plan, urls)
    workspace = runner.resources.workspace
    holder = workspace.find_holder() if workspace is not None else None
    await warn_without_workers(runner.cli, runner.settings, runner.resources.db)
    who = "is waiting for a worker" if holder is None else f"goes to {holder}"
    if holder is not None and not holder.is_service:
        who += ", which works on it until its own job has ended"
    text = f"job {job_id} {who}\n  watch      pictrawl jobs watch {job_id}\n  deliver    pictrawl resume {job_id}"
    page = runner.page_of(job_id)
    text += f"\n  page       {page}" if page else ""
    (job,) = await mark_unattended(runner.resources.db, workspace, [await jobs.get(runner.resources.db, job_id)])
    runner.cli.result(text, {"job_id": job_id, "status": "pending", "waiting_for": job.waiting_for, "url": page}, brief=job_id)
    return 0


async def _note_unfinished(runner: JobRunner) -> None:
    """Name the open jobs of the workspace that no process works on: a build works on its own job only."""
    workspace = runner.resources.workspace
    if workspace is None:
        return
    found = (await jobs.page(runner.resources.db)).items
    left = [job.id for job in await mark_unattended(runner.resources.db, workspace, found) if is_unattended(job)]
    if left:
        commands = [f"  pictrawl resume {job_id}{runner.cli.workspace_options}" for job_id in left[:SHOWN_UNFINISHED]]
        more = [f"  and {len(left) - SHOWN_UNFINISHED} more: pictrawl jobs ls"] if len(left) > SHOWN_UNFINISHED else []
        head = f"{count(len(left), 'older job')} of this workspace did not end; this build leaves them alone"
        runner.cli.note("\n".join([head.replace("them", "it") if len(left) == 1 else head, *commands, *more]))

"""``pictrawl review``, ``reviews ls|undo``, ``datasets duplicates``: a person decides about images."""

from typing import Annotated, Any

import typer

from app.cli.datasets import DatasetId
from app.cli.failures import UsageError
from app.cli.listing import Listing, Paging, show_list
from app.cli.options import Cli, Cursor, Limit, Yes, parse_text
from app.cli.runner import open_job_resources
from app.cli.session import configure_logging, open_database, require_workspace, run
from app.cli.settings import load_settings
from app.datasets import duplicates
from app.datasets.duplicates import Group
from app.datasets.review import Decision, Outcome, Seen, Targets, count_matching, decide
from app.datasets.undo import undo as undo_review
from app.db import lookup, reviews
from app.db.duplicates import page as duplicate_page
from app.db.image_search import ImageFilter
from app.db.rows import PageOf, Review
from app.domain import ImageState, Reason
from app.explain.render import review_words
from app.formatting import clipped, count, when
from app.resources import Resources
from app.review_actions import ReviewAction

__all__ = ["duplicates_of", "ls", "review", "undo"]

SHOWN = 20
"""Refused images that are shown."""

WHERE = "All images that it takes, as in `width < 200 and label = cat`; shows how many, and decides with --yes."


def review(
    cli: Cli,
    dataset: DatasetId,
    images: Annotated[list[int] | None, typer.Argument(metavar="IMAGE...", help="Ids of images.", min=1, show_default=False)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep them, whatever the checks say and whatever resembles them.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Take them out, with copies that come later.")] = False,
    relabel: Annotated[str | None, typer.Option("--relabel", metavar="LABEL", parser=parse_text, help="Give them this label.")] = None,
    instead: Annotated[bool, typer.Option("--keep-instead", help="Keep a duplicate in place of the image that it repeats.")] = False,
    split: Annotated[bool, typer.Option("--split-group", help="Keep a duplicate beside the image that it repeats.")] = False,
    where: Annotated[str | None, typer.Option("--where", metavar="EXPR", parser=parse_text, help=WHERE)] = None,
    state: Annotated[ImageState | None, typer.Option("--state", metavar="STATE", help="All images in this state.")] = None,
    reason: Annotated[Reason | None, typer.Option("--reason", metavar="REASON", help="All images with this reason.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="LABEL", parser=parse_text, help="All images with this label.")] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", parser=parse_text, help="Why; it is kept.")] = None,
    yes: Yes = False,
) -> int:
    """Decide about images of a dataset: keep, reject, relabel.

    Exports, updates, merges and rebuilds obey. `--keep` and `--relabel` together keep images under a new label.
    `pictrawl reviews ls` shows who decided what, `pictrawl reviews undo` takes it back.
    """
    action = _action(keep=keep, reject=reject, relabel=relabel is not None, instead=instead, split=split)
    matching = ImageFilter(state=state, reason=reason, label=label)
    has_filter = where is not None or matching != ImageFilter()
    if bool(images) is has_filter:
        raise UsageError("name images, or say which by --where, --state, --reason or --label", "pictrawl images ls --dataset DATASET")
    if has_filter and action in (ReviewAction.KEEP_INSTEAD, ReviewAction.SPLIT_GROUP):
        raise UsageError(f"--{action.value.replace('_', '-')} is about one duplicate: name it", "pictrawl datasets duplicates DATASET")
    targets = Targets(matching=matching, where=where) if has_filter else Targets([Seen(number) for number in images or ()])
    return run(_review(cli, dataset, action, relabel, note, targets, do_it=yes or not has_filter))


def _action(*, keep: bool, reject: bool, relabel: bool, instead: bool, split: bool) -> ReviewAction:
    chosen = {
        ReviewAction.KEEP: keep,
        ReviewAction.REJECT: reject,
        ReviewAction.KEEP_INSTEAD: instead,
        ReviewAction.SPLIT_GROUP: split,
        ReviewAction.RELABEL: relabel and not keep,
    }
    asked = [action for action, is_asked in chosen.items() if is_asked]
    if len(asked) != 1:
        raise UsageError(
            "say what is decided: one of --keep, --reject, --relabel LABEL, --keep-instead, --split-group", "pictrawl review --help"
        )
    return asked[0]


async def _review(
    cli: Cli, dataset: str, action: ReviewAction, label: str | None, note: str | None, targets: Targets, *, do_it: bool
) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    async with open_job_resources(settings) as resources:
        dataset_id = await lookup.dataset_id(resources.db, dataset)
        if not do_it:
            number = await count_matching(resources, dataset_id, targets)
            words = f"{count(number, 'image')} match; with --yes they are decided: {action.value}"
            cli.result(words, {"matching": number, "decided": 0}, brief=str(number))
            return 0
        outcome = await _decide(resources, dataset_id, action, label, note, targets)
    cli.result(_text(outcome), _document(outcome), brief=outcome.batch_id)
    return 0


async def _decide(
    resources: Resources, dataset_id: str, action: ReviewAction, label: str | None, note: str | None, targets: Targets
) -> Outcome:
    if action is ReviewAction.KEEP_INSTEAD:
        return await duplicates.keep_instead(resources, dataset_id, _only(targets), note=note)
    if action is ReviewAction.SPLIT_GROUP:
        return await duplicates.split_group(resources, dataset_id, _only(targets), note=note)
    return await decide(resources, dataset_id, Decision(action, label, note), targets)  # type: ignore[arg-type]


def _only(targets: Targets) -> Seen:
    if len(targets.images) != 1:
        raise UsageError(f"{len(targets.images)} images were named; a group is decided by one of its duplicates", "name one")
    return targets.images[0]


def _text(outcome: Outcome) -> str:
    unchanged = f", {outcome.unchanged} were so already" if outcome.unchanged else ""
    back = f"undo with `pictrawl reviews undo {outcome.batch_id}`"
    lines = [f"{outcome.action}: {count(outcome.decided, 'image')} decided{unchanged}; {back}"]
    if not outcome.decided:
        lines = [f"{outcome.action}: nothing was changed{unchanged}"]
    lines += [f"  image {item.image_id} was left as it is: {clipped(item.why, 200)}" for item in outcome.refusals[:SHOWN]]
    more = outcome.refused - len(outcome.refusals[:SHOWN])
    return "\n".join([*lines, *([f"  and {count(more, 'more image')}"] if more > 0 else [])])


def _document(outcome: Outcome) -> dict[str, Any]:
    refusals = [
        {"image_id": item.image_id, "code": item.code, "detail": item.why, "reviewed_by": item.by, "reviewed_at": item.at}
        for item in outcome.refusals
    ]
    counts = {"decided": outcome.decided, "unchanged": outcome.unchanged, "refused": outcome.refused}
    return {"id": outcome.batch_id, "action": outcome.action} | counts | {"refusals": refusals}


def ls(cli: Cli, dataset: DatasetId, limit: Limit = None, cursor: Cursor = None) -> int:
    """List what people decided about the images of a dataset, newest first."""
    return run(_ls(cli, dataset, Paging(limit, cursor)))


async def _ls(cli: Cli, dataset: str, paging: Paging) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset_id = await lookup.dataset_id(db, dataset)
        listing = Listing("reviews", ("review", "image", "made", "decision"), _row, _review_document)
        await show_list(cli, listing, lambda limit, cursor: reviews.page(db, dataset_id, limit=limit, cursor=cursor), paging)
    return 0


def _row(item: Review) -> tuple[object, ...]:
    return item.batch_id or "-", item.image_id, when(item.created_at), review_words(item)


def _review_document(item: Review) -> dict[str, Any]:
    names = ("id", "image_id", "user_id", "action", "note", "created_at")
    values = {name: getattr(item, name) for name in names} | {"review": item.batch_id, "undone": item.undone_by is not None}
    return values | {"before": dict(item.before), "after": dict(item.after)}


def undo(cli: Cli, review: Annotated[str, typer.Argument(metavar="REVIEW", help="A review's id.")]) -> int:
    """Take a review back: its images are what they were before.

    Images that were decided again since are left as they are, and named.
    """
    return run(_undo(cli, review))


async def _undo(cli: Cli, review_id: str) -> int:
    settings = load_settings(cli)
    require_workspace(settings)
    configure_logging(cli, settings, default="WARNING")
    async with open_job_resources(settings) as resources:
        outcome = await undo_review(resources, review_id)
    cli.result(_text(outcome), _document(outcome), brief=outcome.batch_id)
    return 0


def duplicates_of(cli: Cli, dataset: DatasetId, limit: Limit = None, cursor: Cursor = None) -> int:
    """List the groups of duplicates of a dataset.

    Each with the image that is kept and those that repeat it.
    """
    return run(_duplicates_of(cli, dataset, Paging(limit, cursor)))


async def _duplicates_of(cli: Cli, dataset: str, paging: Paging) -> int:
    async with open_database(cli, load_settings(cli)) as db:
        dataset_id = await lookup.dataset_id(db, dataset)

        async def read(limit: int, cursor: str | None) -> PageOf[Group]:
            page = await duplicate_page(db, dataset_id, limit=limit, cursor=cursor)
            return PageOf([Group(*item) for item in page.items], page.next_cursor)

        listing = Listing("duplicates", ("kept", "url", "copies"), _group_row, _group_document)
        await show_list(cli, listing, read, paging)
    return 0


def _group_row(group: Group) -> tuple[object, ...]:
    copies = [f"{member.image.id} ({'same bytes' if member.is_exact else f'{member.distance} bits'})" for member in group.members]
    more = group.number - len(group.members)
    return group.kept.id, clipped(group.kept.url, 60), clipped(", ".join(copies), 100) + (f" and {more} more" if more else "")


def _group_document(group: Group) -> dict[str, Any]:
    members = [{"id": item.image.id, "url": item.image.url, "exact": item.is_exact, "distance": item.distance} for item in group.members]
    return {"id": group.kept.id, "url": group.kept.url, "status": group.kept.state.value, "number": group.number, "members": members}

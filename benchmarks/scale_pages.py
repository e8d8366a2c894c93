"""Pages by key, of images as the API and the command line ask for them and of a job's log: at the start, in the middle and at the end."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from scale_figures import Figure
from scale_fill import USER, chunk_id
from scale_stages import House

from app.db import events, images, paging
from app.db.events import EventFilter
from app.db.images import ImageFilter
from app.domain import ImageState, Reason

__all__ = ["TARGET_MS", "measure"]

TARGET_MS = 50.0
ROUNDS = 5
LIMIT = 50
"""Rows of a page where nobody asks for another number."""

PLACES = (("start", 0.0), ("middle", 0.5), ("end", 0.9995))

Ask = Callable[[int], Awaitable[object]]


def questions(house: House) -> dict[str, Ask]:
    """What is asked, as functions of the id that a page begins after."""
    job, dataset = house.job, house.dataset
    filters = {
        "images": ImageFilter(),
        "images of a job": ImageFilter(job_id=job),
        "images of a dataset": ImageFilter(dataset_id=dataset),
        "images, state": ImageFilter(state=ImageState.KEPT),
        "images of a job, state": ImageFilter(job_id=job, state=ImageState.KEPT),
        "images of a job, rare state": ImageFilter(job_id=job, state=ImageState.DUPLICATE),
        "images of a job, state that none has": ImageFilter(job_id=job, state=ImageState.DEFERRED),
        "images of a job, reason": ImageFilter(job_id=job, reason=Reason.HTTP_404),
        "images of a job, reason that none has": ImageFilter(job_id=job, reason=Reason.TIMEOUT),
        "images of a job, state and reason": ImageFilter(job_id=job, state=ImageState.FAILED, reason=Reason.HTTP_404),
        "images of a job, state and source": ImageFilter(job_id=job, state=ImageState.KEPT, source="source1"),
        "images of a job, source that none has": ImageFilter(job_id=job, source="nowhere"),
        "images of a dataset, state": ImageFilter(dataset_id=dataset, state=ImageState.KEPT),
        "images of a dataset, reason": ImageFilter(dataset_id=dataset, reason=Reason.HTTP_404),
        "images of a dataset, reason that none has": ImageFilter(dataset_id=dataset, reason=Reason.TIMEOUT),
        "images, reason that none has": ImageFilter(reason=Reason.TIMEOUT),
        "images of a dataset, label": ImageFilter(dataset_id=dataset, label="label 7"),
        "images of a dataset, label that none has": ImageFilter(dataset_id=dataset, label="none"),
        "images of a dataset, split": ImageFilter(dataset_id=dataset, split="test"),
    }
    logs = {
        "log": EventFilter(),
        "log, warnings": EventFilter(level="warning"),
        "log, errors, of which there are none": EventFilter(level="error"),
        "log, host": EventFilter(host="host10.example.com"),
        "log, chunk": EventFilter(chunk_id=chunk_id(house.size // 100 - 7)),
        "log, event": EventFilter(event="download.retry"),
        "log, event, of which there are none": EventFilter(event="list."),
    }
    asked: dict[str, Ask] = {f"{name} (API)": _images(house, wanted, USER) for name, wanted in filters.items()}
    asked |= {name: _images(house, wanted, None) for name, wanted in filters.items()}
    asked["images of a stranger (API)"] = _images(house, ImageFilter(), "stranger")
    return asked | {name: _events(house, wanted) for name, wanted in logs.items()}


def _images(house: House, wanted: ImageFilter, user_id: str | None) -> Ask:
    async def ask(last_id: int) -> object:
        return await images.page(house.db, wanted, user_id=user_id, limit=LIMIT, cursor=paging.encode(last_id) if last_id else None)

    return ask


def _events(house: House, wanted: EventFilter) -> Ask:
    async def ask(last_id: int) -> object:
        return await events.after(house.db, house.job, wanted, last_id=last_id)

    return ask


async def measure(house: House, where: str) -> AsyncIterator[Figure]:
    """The time of an answer to each question at each place."""
    for name, ask in questions(house).items():
        for place, share in PLACES:
            yield Figure(where, f"{name}, {place}", house.size, await _best(ask, int(house.size * share)), is_answer=True)


async def _best(ask: Ask, last_id: int) -> float:
    """The best of a few: the others were held up by what else the machine does."""
    await ask(last_id)
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await ask(last_id)
        found.append(time.perf_counter() - began)
        if found[-1] > 1:  # far off the target already
            break
    return min(found)

"""What happened to the work on an image's chunk beside the requests: crashes, retries of the job layer, deaths. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.db.rows import Event
from app.explain.lines import Line
from app.formatting import clipped, duration

__all__ = ["NAMES", "happening_line"]

_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "job.retry": lambda d: f"a run failed, {_error(d)}: again after {_seconds(d)}, retry {d.get('retry')} of {d.get('of')}",
    "job.retries_exhausted": lambda d: f"a run failed, {_error(d)}: given up after {d.get('retries')} retries",
    "unit.dead": lambda d: f"the unit died, {_error(d)}",
    "unit.rests": lambda d: f"a fault of ours, {_error(d)}: rested for {_seconds(d)}, nothing counted",
    "unit.taken_back": lambda d: f"its worker fell silent (crash {d.get('crashes')}): the unit was taken back",
    "unit.quarantined": lambda d: f"its workers died {d.get('crashes')} times: the unit goes into quarantine",
    "quarantine.began": lambda _: "quarantine began: one image at a time, in a process of its own",
    "quarantine.ended": lambda _: "quarantine ended",
    "unit.interrupted": lambda _: "its worker was stopped: the unit was given back",
    "unit.lease_lost": lambda _: "its worker lost the lease: another one goes on",
    "unit.retried": lambda _: "somebody put the dead unit back to work",
    "unit.discarded": lambda _: "somebody gave the dead unit up",
}

NAMES: Final = (*_WORDS, "image.poison")
"""Events that are part of an image's story."""


def happening_line(event: Event, image_id: int) -> Line | None:
    """What one event says of an image; nothing, where it is about another image of the chunk."""
    if event.event == "image.poison":
        if event.data.get("image_id") != image_id:
            return None
        return Line("poison", f"it killed the process that worked at it alone: {clipped(str(event.data.get('how')), 200)}", event.at)
    return Line("unit", f"{clipped(str(event.data.get('job') or 'work'), 40)}: {_WORDS[event.event](event.data)}", event.at)


def _error(data: Mapping[str, Any]) -> str:
    return clipped(": ".join(str(data[name]) for name in ("error_type", "error") if data.get(name)) or "no word why", 200)


def _seconds(data: Mapping[str, Any]) -> str:
    wait_s = data.get("wait_s")
    return duration(wait_s) if isinstance(wait_s, int | float) else "a while"

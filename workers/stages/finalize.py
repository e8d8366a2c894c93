"""What a job does once no unit is open: a pure decision from its stage and counts, and how it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.db.rows import Funnel, Search
from app.domain import JobKind, JobState
from app.spec import JobSpec

__all__ = ["Ending", "Step", "end_of_build", "next_step"]


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next: ``more``, ``duplicates``, ``labels``, ``compress``, ``export`` or ``end``."""

    name: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends, and why it is short."""

    state: JobState
    shortfall: dict[str, Any] | None = None
    error: str | None = None


BUILD_STAGES = ("duplicates", "labels", "compress", "export", "end")
STAGES: dict[JobKind, tuple[str, ...]] = {JobKind.BUILD: BUILD_STAGES, JobKind.VALIDATION: ("duplicates", "labels", "end")}


def next_step(
    kind: JobKind,
    stage: str | None,
    spec: JobSpec | None,
    *,
    funnel: Funnel,
    searches: Sequence[Search] = (),
    rounds: int = 0,
    max_rounds: int = 20,
    has_dead: bool = False,
) -> Step:
    """Decide the next stage. More candidates are asked for once duplicates are known, while the target is missed and a source has more."""
    stages = STAGES.get(kind, ("end",))
    if has_dead:
        return Step("end")
    if stage is None:
        return Step(stages[0])
    if kind is JobKind.BUILD and stage == "duplicates" and spec is not None and wants_more(spec, funnel, searches, rounds, max_rounds):
        return Step("more")
    following = stages[stages.index(stage) + 1] if stage in stages[:-1] else "end"
    if following == "compress" and (spec is None or spec.compression.is_identity):
        following = "export"
    if following == "export" and not funnel.kept:
        following = "end"
    return Step(following)


def wants_more(spec: JobSpec, funnel: Funnel, searches: Sequence[Search], rounds: int, max_rounds: int) -> bool:
    """Whether the target is missed and something is left to try."""
    if spec.max_images is None or funnel.unique >= spec.max_images:
        return False
    return rounds < max_rounds and any(not search.is_exhausted for search in searches)


def end_of_build(spec: JobSpec, funnel: Funnel, searches: Sequence[Search], *, rounds: int, max_rounds: int, dead: Sequence[str]) -> Ending:
    """The last state of a build: succeeded, or partial with the reasons, or failed with the first dead unit's error."""
    if dead:
        return Ending(JobState.FAILED, error=f"{len(dead)} unit(s) of work failed; the first: {dead[0]}")
    goal = max(spec.max_images or 0, spec.min_images)
    if funnel.kept and (funnel.kept >= goal):
        return Ending(JobState.SUCCEEDED)
    shortfall = {"missing": max(goal - funnel.kept, 0), "causes": _causes(funnel, searches, rounds, max_rounds)}
    return Ending(JobState.PARTIAL if funnel.kept else JobState.FAILED, shortfall, None if funnel.kept else "no image was kept")


def _causes(funnel: Funnel, searches: Sequence[Search], rounds: int, max_rounds: int) -> list[str]:
    causes = [f"{search.source}: {search.note}" for search in searches if search.note]
    exhausted = [search for search in searches if search.is_exhausted]
    if searches and len(exhausted) == len(searches):
        causes.append(f"every source is exhausted ({sum(search.found for search in searches)} found, {funnel.candidates} distinct)")
    if rounds >= max_rounds:
        causes.append(f"the sources were asked {rounds} times (jobs.max_rounds)")
    causes += [f"{reason}: {count}" for reason, count in list(funnel.reasons.items())[:5]]
    return causes

"""``--folder``: the folder that a build reads, checked before anything is written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.cli.delivery import Destination
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.layout import kind_of
from app.discovery.folders.unpacked import TarFiles
from app.discovery.licences.gate import statements_of
from app.discovery.licences.policy import ANYTHING, LicencePolicy
from app.domain import Candidate, ListProblem
from app.formatting import clipped, count
from app.settings import Settings
from app.spec import FolderSpec

__all__ = ["FolderContents", "check_destination", "find_folder", "look_at", "note_contents"]

LOOKED_AT = 1_000
"""Images of a folder that are listed before the job, so that what is read of it is shown."""

SHOWN = 8
SHOWN_PROBLEMS = 5


def find_folder(path: Path, settings: Settings) -> FolderSpec:
    """Return the folder that is read, or the only file in it.

    Raises:
        UsageError: there is none that can be read, or the workers of this build may be on other machines.
    """
    if settings.queue.backend != "embedded":
        hint = "build it in this process: --set queue.backend=embedded; the store may be the same bucket"
        raise UsageError("--folder with queue.backend redis: workers on other machines do not see the folder", hint)
    if not path.exists():
        raise UsageError(f"there is no folder {path}", "check the path")
    real = path.resolve()
    if real.is_dir():
        _refuse_workspace(path, real, settings.workspace.path.resolve())
        return FolderSpec(path=str(real), name=real.name or "root")
    if kind_of(real.name) not in ("tar", "parquet", "image"):
        hint = f"unpack it and name the folder: unzip {path} -d images" if real.suffix.lower() == ".zip" else "name its folder"
        raise UsageError(f"{path} is no folder, no tar, no Parquet file and no image", hint)
    return FolderSpec(path=str(real.parent), name=real.name, file=real.name)


def _refuse_workspace(path: Path, folder: Path, workspace: Path) -> None:
    inside = workspace.relative_to(folder).parts if workspace.is_relative_to(folder) else (".",)
    if not any(part.startswith(".") for part in inside):
        raise UsageError(f"the workspace {workspace} is inside the folder {path}", "name another workspace with --workspace")


def check_destination(folder: FolderSpec, destination: Destination) -> None:
    """Refuse to write the dataset into the folder that is read: the next build would read it too.

    Raises:
        UsageError: it would be.
    """
    if folder.file is None and destination.folder.resolve().is_relative_to(folder.path):
        raise UsageError(f"the dataset {destination.folder} is inside the folder that is read", f"add -o ../{folder.name}-dataset")


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What is read of a folder, by its first images.

    Attributes:
        images: that were found; ``is_whole`` is False where there are more.
        refused: of these, by what is stated of their licence.
        labels, splits: with their images, in the order in which they were found.
        left_out: what was passed over, in words; empty where nothing was, or where there are more images.
    """

    images: int
    is_whole: bool
    refused: int
    labels: Mapping[str, int]
    splits: Mapping[str, int]
    left_out: str
    problems: Sequence[str]

    def words(self) -> str:
        """``13 images; 2 labels (cat, dog)``."""
        seen = count(self.images, "image") if self.is_whole else f"its first {count(self.images, 'image')}"
        return "; ".join([seen, *filter(None, (_named("label", list(self.labels)), _named("split", list(self.splits))))])


def look_at(folder: FolderSpec, policy: LicencePolicy = ANYTHING) -> FolderContents:
    """Read the first images of a folder.

    Raises:
        UsageError: there is no image in it.
    """
    files = TarFiles()
    try:
        reader = FolderReader(folder, files, Cursor())
        found, is_whole = reader.read(LOOKED_AT)
    finally:
        files.close()
    images = [item for item in found if isinstance(item, Candidate)]
    problems = [item.message for item in found if isinstance(item, ListProblem)]
    if not images:
        what = problems[0] if problems else reader.left_out or "it is empty"
        place = Path(folder.path, folder.file or "")
        raise UsageError(f"there is no image in {place}: {clipped(what, 200)}", "name the folder or the file that holds the images")
    labels, splits = (dict(Counter(filter(None, names))) for names in zip(*((one.label, one.split) for one in images), strict=True))
    refused = sum(not policy.decide(*statements_of(one.license, one.license_url, one.license_raw)).is_taken for one in images)
    return FolderContents(len(images), is_whole, refused, labels, splits, reader.left_out if is_whole else "", problems)


def note_contents(cli: Cli, folder: FolderSpec) -> None:
    """Say what is read of a folder.

    Raises:
        UsageError: as `look_at`.
    """
    found = look_at(folder)
    cli.note(f"  {clipped(folder.name, 60)}: {found.words()}")
    if found.left_out:
        cli.note(f"  {clipped(found.left_out, 200)}")
    for problem in found.problems[:SHOWN_PROBLEMS]:
        cli.warn(clipped(problem, 200))
    if len(found.problems) > SHOWN_PROBLEMS:
        cli.note(f"  and {len(found.problems) - SHOWN_PROBLEMS} more")


def _named(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{count(len(names), what)} ({', '.join(clipped(name, 30) for name in names[:SHOWN])}{more})" if names else ""

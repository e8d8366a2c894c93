"""``--folder``: the folder that a build reads, checked before anything is written."""

from collections.abc import Sequence
from pathlib import Path

from app.cli.delivery import Destination
from app.cli.failures import UsageError
from app.cli.options import Cli
from app.discovery.folders.folder import Cursor, FolderReader
from app.discovery.folders.layout import kind_of
from app.discovery.folders.unpacked import TarFiles
from app.domain import Candidate, ListProblem
from app.formatting import clipped, count
from app.settings import Settings
from app.spec import FolderSpec

__all__ = ["check_destination", "find_folder", "note_contents"]

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


def note_contents(cli: Cli, folder: FolderSpec) -> None:
    """Say what is read of a folder, by its first images.

    Raises:
        UsageError: there is no image in it.
    """
    files = TarFiles()
    try:
        reader = FolderReader(folder, files, Cursor())
        found, is_all = reader.read(LOOKED_AT)
    finally:
        files.close()
    images = [item for item in found if isinstance(item, Candidate)]
    problems = [item for item in found if isinstance(item, ListProblem)]
    if not images:
        what = problems[0].message if problems else reader.left_out or "it is empty"
        raise UsageError(f"there is no image in {folder.path}: {clipped(what, 200)}", "name the folder that holds the images")
    seen = count(len(images), "image") if is_all else f"its first {count(len(images), 'image')}"
    parts = [_named("label", [image.label for image in images]), _named("split", [image.split for image in images])]
    cli.note(f"  {clipped(folder.name, 60)}: {'; '.join([seen, *filter(None, parts)])}")
    if is_all and reader.left_out:
        cli.note(f"  {clipped(reader.left_out, 200)}")
    for problem in problems[:SHOWN_PROBLEMS]:
        cli.warn(clipped(problem.message, 200))
    if len(problems) > SHOWN_PROBLEMS:
        cli.note(f"  and {len(problems) - SHOWN_PROBLEMS} more")


def _named(what: str, names: Sequence[str | None]) -> str:
    different = list(dict.fromkeys(name for name in names if name))
    more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    return f"{count(len(different), what)} ({', '.join(clipped(name, 30) for name in different[:SHOWN])}{more})" if different else ""

"""The folder of an embedded workspace, and the one process that works on it: its lock, and how other processes tell it of a job.

Two embedded queues on one database would dispatch each other's units, so one process holds the lock and works; every other process
writes its job to the database and tells the holder. Knows files only, no database and no queue.
"""

import asyncio
import errno
import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import errors

__all__ = ["Holder", "Workspace", "parse_holder"]

LOCK, WAKE, SERVER = "lock", "wake", "server"
"""Names in the folder: the file whose lock the holder has, the named pipe that it reads ids of jobs from, and the file whose lock a server
of its pages has.
"""

READ_BYTES = 65_536
"""The capacity of a pipe on Linux."""

DESCRIBED = ("pid", "command", "version", "database", "settings")
"""Fields of :class:`Holder` in the lock file, besides the jobs."""

SERVER_URL = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")

JOB_ID = re.compile(rb"job_[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a workspace, as its lock file describes it.

    Attributes:
        version: of pictrawl; empty where the holder is too old to say it.
        job_ids: the jobs that it works on; ``None`` for all.
        database: a digest of the URLs of its database and its store.
        settings: by dotted name, those of its settings that are not the default and that decide how it works.
    """

    pid: int
    command: str
    version: str = ""
    job_ids: frozenset[str] | None = None
    database: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"`pictrawl {self.command}` (process {self.pid})" if self.command else "another process"

    @property
    def is_service(self) -> bool:
        """Whether it works on every job until it is stopped, instead of on some until its own has ended."""
        return self.job_ids is None

    def works_on(self, job_id: str) -> bool:
        """Whether this job is one of its jobs."""
        return self.job_ids is None or job_id in self.job_ids


def parse_holder(text: str) -> Holder:
    """Read the content of a lock file: a line of JSON, or of an older version a process id and a command. Unknown keys are ignored."""
    line = text.partition("\n")[0]
    try:
        values = json.loads(line)
        job_ids = values["job_ids"]
        known: dict[str, Any] = {name: values[name] for name in DESCRIBED}
        return Holder(**known, job_ids=None if job_ids is None else frozenset(job_ids))
    except (ValueError, TypeError, KeyError):
        pid, _, command = line.partition(" ")
        return Holder(int(pid), command) if pid.isdecimal() else Holder(0, "")


class Workspace:
    """A workspace as one process sees it.

    Args:
        me: how this process describes itself while it holds the workspace. Its ``job_ids`` are ``None`` for a process that works on every
            job; otherwise they grow with each :meth:`request`.
    """

    def __init__(self, folder: Path, me: Holder) -> None:
        self.folder = folder.absolute()
        self.me = me
        self._job_ids = None if me.job_ids is None else set(me.job_ids)
        self._lock: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process holds the workspace."""
        return self._lock is not None

    @property
    def job_ids(self) -> frozenset[str] | None:
        """The jobs whose units this process may dispatch: none while another process holds the workspace; ``None`` for all."""
        if not self.is_held:
            return frozenset()
        return None if self._job_ids is None else frozenset(self._job_ids)

    def take(self) -> bool:
        """Take the workspace unless another process holds it. The kernel releases it when this process ends, however it ends.

        Raises:
            errors.ConfigurationError: the folder cannot be made.
        """
        if self.is_held:
            return True
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.ConfigurationError(f"workspace folder {self.folder} cannot be made: {error.strerror}") from error
        lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not _lock_exclusively(lock):
            os.close(lock)
            return False
        self._lock = lock
        self._describe()
        return True

    def release(self) -> None:
        """Let the next process take the workspace."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def find_holder(self) -> Holder | None:
        """The process that holds the workspace, this one included; ``None`` where nobody works."""
        try:
            lock = os.open(self.folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if _lock_shared(lock):
                return None
            return parse_holder(os.pread(lock, READ_BYTES, 0).decode("utf-8", "replace"))
        finally:
            os.close(lock)

    def find_other(self) -> Holder | None:
        """The process that holds the workspace, unless it is this one."""
        return None if self.is_held else self.find_holder()

    def request(self, *job_ids: str) -> None:
        """Have these jobs worked on: by this process if it holds the workspace, else by the holder, through its pipe.

        A holder that does not hear it is no loss: a service finds the job with its next sweep, and who follows a job asks again.
        """
        if not self.is_held:
            _write_pipe(self.folder / WAKE, job_ids)
        elif self._job_ids is not None and not self._job_ids.issuperset(job_ids):
            self._job_ids.update(job_ids)
            self._describe()

    @contextmanager
    def listen(self, on_job: Callable[[str], None]) -> Iterator[None]:
        """Call ``on_job`` on the running event loop, for the body's time, with the id of each job that another process asks for."""
        pipe = _make_pipe(self.folder / WAKE)
        loop = asyncio.get_running_loop()

        def read() -> None:
            assert pipe is not None
            with suppress(BlockingIOError):
                for line in os.read(pipe, READ_BYTES).splitlines():
                    if JOB_ID.fullmatch(line):
                        on_job(line.decode())

        if pipe is not None:
            loop.add_reader(pipe, read)
        try:
            yield
        finally:
            if pipe is not None:
                loop.remove_reader(pipe)
                (self.folder / WAKE).unlink(missing_ok=True)
                os.close(pipe)

    @contextmanager
    def serving(self, url: str) -> Iterator[None]:
        """Record, for the body's time, that the pages of this workspace are at this URL. Of several servers the first one is recorded.

        Where the folder is another user's, nothing is.
        """
        record = None
        with suppress(OSError):
            record = os.open(self.folder / SERVER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        if record is None:
            yield
            return
        try:
            is_first = _lock_exclusively(record)
            if is_first:
                os.pwrite(record, url.encode(), 0)
                os.ftruncate(record, len(url.encode()))
            yield
            if is_first:
                os.ftruncate(record, 0)
        finally:
            os.close(record)

    def find_url(self) -> str | None:
        """Where a server shows this workspace; ``None`` where none does. What a dead one left, or another user wrote, is passed over."""
        try:
            record = os.open(self.folder / SERVER, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            if os.fstat(record).st_uid not in (os.geteuid(), 0) or _lock_shared(record):
                return None
            url = os.pread(record, READ_BYTES, 0).decode("ascii", "replace")
            return url if SERVER_URL.fullmatch(url) else None
        finally:
            os.close(record)

    def _describe(self) -> None:
        """Write who holds the workspace, as one line in one write, so that a reader sees the line before or the line after."""
        assert self._lock is not None
        values = {name: getattr(self.me, name) for name in DESCRIBED}
        values |= {"job_ids": None if self._job_ids is None else sorted(self._job_ids)}
        line = json.dumps(values).encode() + b"\n"
        os.pwrite(self._lock, line, 0)
        os.ftruncate(self._lock, len(line))


def _lock_exclusively(lock: int) -> bool:
    """Lock, unless a process holds the lock. One that only looks holds it shared for microseconds; then try again."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not _lock_shared(lock):
                return False
            fcntl.flock(lock, fcntl.LOCK_UN)
        else:
            return True


def _lock_shared(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_pipe(path: Path) -> int | None:
    """Make the pipe, for this user only, and open it; ``None`` where the file system has none.

    It is opened to write as well: without a writer a reader would read its end again and again.
    """
    path.unlink(missing_ok=True)
    try:
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return None
        raise


def _write_pipe(path: Path, lines: Iterable[str]) -> None:
    """Write lines to the pipe, each in one write. Nothing is written where no process reads it, or where it is another user's."""
    with suppress(OSError):
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                for line in lines:
                    os.write(pipe, f"{line}\n".encode())
        finally:
            os.close(pipe)

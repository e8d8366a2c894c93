"""What commands must not load: a start is mostly imports, so a module that is needed later, or never, is not there at its end."""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from tests.cli.conftest import ROOT

LATER = {"PIL", "jinja2", "app.report", "app.images.verdict", "app.images.rendering"}
"""What a build needs after its first image, or in its decoders alone. The array library comes with fakeredis, the embedded queue."""

NEVER = {"alembic", "mako", "fastapi", "starlette", "uvicorn", "opentelemetry.sdk", "pyarrow", "asyncpg", "app.web"}
"""What no build of a plain list needs on the embedded default."""

CLIENTS = {"numpy", "httpx", "aiohttp", "redis", "fakeredis", "arq", "rich", "app.resources", "workers"}
"""What only looks at rows needs none of these either."""


def loaded(unwanted: Collection[str], *arguments: object) -> set[str]:
    """Run a command in a process of its own; which of these modules are there afterwards."""
    code = (
        f"import sys, json\nfrom app.cli.entry import main\nsys.argv[1:] = {[str(item) for item in arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, 4), end.code\n"
        "print(json.dumps([name for name, module in sys.modules.items() if module is not None]))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(unwanted) & set(json.loads(done.stdout.splitlines()[-1]))


def test_a_build_loads_what_it_needs_and_no_more(tmp_path: Path) -> None:
    """Up to its first request and beyond: here every URL is refused, so that no image comes, and the job still runs to its end."""
    urls = tmp_path / "urls.txt"
    urls.write_text("http://127.0.0.1:9/a.jpg\nhttp://127.0.0.1:9/b.jpg\n")
    workspace = ("--workspace", tmp_path / "ws", "-q")
    assert loaded(LATER | NEVER, "build", "--urls", urls, "--dedupe", "exact", "-o", tmp_path / "out", *workspace) == set()
    assert loaded(LATER | NEVER | CLIENTS, "jobs", "ls", *workspace) == set()


def test_the_version_loads_no_library() -> None:
    """Whatever a command's body needs, it imports itself."""
    assert loaded(LATER | NEVER | CLIENTS | {"sqlalchemy", "loguru", "uvloop"}, "version") == set()

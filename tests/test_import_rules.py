"""Who may import what: the bans of ruff and the contracts of import-linter in pyproject.toml, each shown to fail."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.sources import PACKAGES, ROOT

BANNED = [
    ("workers/x.py", "import logging", "TID251"),
    ("app/web_x.py", "from loguru import logger", "TID251"),
    ("app/x.py", "import httpx", "TID251"),
    ("workers/x.py", "from aiohttp import ClientSession", "TID251"),
    ("app/x.py", "from urllib import request", "TID251"),
    ("app/x.py", "import http.client", "TID251"),
    ("app/x.py", "import requests", "TID251"),
    ("workers/x.py", "from tenacity.asyncio import AsyncRetrying", "TID251"),
    ("app/x.py", "import fastapi", "TID251"),
    ("workers/x.py", "from sqlalchemy import select", "TID251"),
    ("app/web_x.py", "import redis.asyncio", "TID251"),
    ("workers/x.py", "from arq import Retry", "TID251"),
    ("app/x.py", "import obstore", "TID251"),
    ("app/x.py", "import jinja2", "TID251"),
    ("app/exports/x.py", "import huggingface_hub", "TID251"),
    ("app/images/x.py", "import cv2", "TID251"),
    ("app/images/x.py", "import onnxruntime", "TID251"),
    ("workers/x.py", "import time\n\ntime.sleep(1)", "TID251"),
    ("workers/x.py", "print(1)", "T201"),
    ("workers/x.py", "import subprocess\n\n\nasync def f() -> None:\n    subprocess.run(['ls'])", "ASYNC221"),
]


@pytest.mark.parametrize(("path", "text", "code"), BANNED)
def test_ruff_refuses_what_is_banned(path: str, text: str, code: str) -> None:
    """With the project's own configuration."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--no-cache", "--stdin-filename", path, "-"]
    done = subprocess.run(command, input=text + "\n", cwd=ROOT, capture_output=True, text=True, check=False)
    assert f" {code} " in done.stdout, done.stdout + done.stderr


def test_import_contracts_can_be_broken(tmp_path: Path) -> None:
    """Every contract of pyproject.toml is broken in a copy of the project with one wrong import for each."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    clients = ("httpx", "tenacity", "requests", "obstore", "huggingface_hub")
    wrong = ("fastapi", "sqlalchemy", "arq", "jinja2", *clients, "opentelemetry", "loguru", "app.cli")
    with (tmp_path / "app" / "settings" / "__init__.py").open("a") as file:
        file.writelines(f"import {name}\n" for name in wrong)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=tmp_path, env=wide, capture_output=True, text=True, check=False)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    kept = [contract["name"] for contract in contracts if f"{contract['name']} BROKEN" not in done.stdout]
    assert kept == [], done.stdout[-3000:] + done.stderr

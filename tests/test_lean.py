"""What is left out stays out only until it is wanted."""

import subprocess
import sys
from pathlib import Path

from app import lean

ROOT = Path(__file__).resolve().parents[1]


def _says(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_module_for_later_comes_when_something_of_it_is_asked_for() -> None:
    """Its user imports it whole and takes no notice."""
    code = (
        "import sys\nfrom app import lean\nlean.leave_out()\nimport redis.auth.token as user\nprint('jwt.api_jwt' in sys.modules)\n"
        "print(user.jwt.encode.__name__, 'jwt.api_jwt' in sys.modules)\nimport jwt, jwt.algorithms\n"
        "print(jwt is sys.modules['jwt'], user.jwt.PyJWT is jwt.PyJWT)"
    )
    assert _says(code) == ["False", "encode", "True", "True", "True"]


def test_an_optional_module_is_missing_where_only_its_own_package_wants_it() -> None:
    """httpx says so in words of its own, as where its extra was not installed."""
    code = "import sys\nfrom app import lean\nlean.leave_out()\nimport httpx\nprint(httpx.main.__module__, 'click' in sys.modules)"
    assert _says(code) == ["httpx", "False"]


def test_a_library_is_there_again_after_imports_without_it() -> None:
    """For who imports it later, and for who has it already."""
    code = (
        "import sys\nfrom app import lean\nwith lean.without('colorsys'):\n"
        "    try:\n        import colorsys\n    except ImportError:\n        print('missing')\n"
        "import colorsys\nprint(colorsys.__name__)\nwith lean.without('colorsys'):\n    import colorsys\n"
        "print(sys.modules['colorsys'] is colorsys)"
    )
    assert _says(code) == ["missing", "colorsys", "True"]


def test_leaving_out_takes_nothing_from_a_process_that_has_it() -> None:
    """Here, among others."""
    import jwt

    lean.leave_out()
    assert sys.modules["jwt"] is jwt

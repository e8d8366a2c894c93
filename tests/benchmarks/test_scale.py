"""The benchmark of growth, at a size that says nothing of growth."""

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def test_every_stage_and_page_still_runs(tmp_path: Path) -> None:
    """Its stand-ins for network, decoders and store must be what the workers ask for; nothing else would tell."""
    command = [sys.executable, str(BENCHMARK), "stages", "pages", "--sizes", "3000", "--databases", "sqlite", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("take in candidates", "fetch", "validate", "labels and splits", "compress", "finalize's counts"):
        assert name in done.stdout

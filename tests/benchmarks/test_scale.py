"""The benchmark of growth runs, at a small size."""

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "scale.py"


def test_every_stage_and_page_still_runs(tmp_path: Path) -> None:
    """Its stand-ins for downloader, decoders and store have the interface that the workers use."""
    command = [sys.executable, str(BENCHMARK), "stages", "pages", "--sizes", "3000", "--databases", "sqlite", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("take in candidates", "fetch", "validate", "labels and splits", "compress", "finalize's counts"):
        assert name in done.stdout

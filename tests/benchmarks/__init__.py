"""The pure parts of the benchmarks. They are scripts beside the packages, so their folder goes where Python looks, and last."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))

"""Builds and servers for the tests of what becomes of a dataset: those of the workers."""

from tests.workers.conftest import bench, lines, origin

__all__ = ["bench", "lines", "origin"]

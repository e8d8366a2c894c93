"""An origin on a real socket, time that passes on demand, and a downloader that may talk to loopback."""

from dataclasses import replace

import pytest

from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.origin import Origin

LIMITS = FetchLimits(
    allow_networks=("127.0.0.0/8",),
    ports=(),
    robots=False,
    max_bytes=1_000_000,
)
IMPATIENT = replace(LIMITS, read_timeout_s=0.5, attempt_timeout_s=1.2)
"""For the tests whose subject is a timeout; elsewhere a busy machine must not make one."""


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
async def origin():
    async with Origin() as running:
        yield running


async def loopback(host):
    """Every name is this machine."""
    return ["127.0.0.1"]


@pytest.fixture
async def downloader(time):
    async with Downloader(LIMITS, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as made:
        yield made


@pytest.fixture
async def impatient(time):
    async with Downloader(IMPATIENT, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=loopback) as made:
        yield made

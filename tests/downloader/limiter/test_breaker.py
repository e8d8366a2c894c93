"""The breaker alone: what opens it, who may probe, what closes it."""

from downloader.limiter.breaker import CircuitBreaker
from errors import Reason

T = 1_700_000_000.0


def test_a_failed_probe_opens_again_whatever_opened_first():
    """Opened by refusals, probed by a connection that fails: away for twice as long."""
    breaker = CircuitBreaker(refusals=30, open_until=T, pause_s=30.0)
    assert breaker.begin_probe(T)
    breaker.on_connect_error(T)
    assert breaker.open_until == T + 60
    assert breaker.reason == "host_unavailable"


def refuse(breaker, count, every_s, reason=Reason.RATE_LIMITED, since=T):
    for number in range(count):
        breaker.on_refusal(since + number * every_s, reason)
    return since + (count - 1) * every_s


def test_refusals_alone_open_it_late():
    """Twenty in a row and half a minute: neither alone."""
    quick, slow, both = CircuitBreaker(), CircuitBreaker(), CircuitBreaker()
    refuse(quick, 60, 0.1)
    refuse(slow, 10, 6.0)
    last = refuse(both, 21, 1.5)
    assert (quick.open_until, slow.open_until, both.open_until) == (0, 0, last + 30)
    assert both.reason == "rate_limited"


def test_one_accepted_request_ends_the_row():
    """The host serves somebody."""
    breaker = CircuitBreaker()
    refuse(breaker, 15, 2.0)
    breaker.on_success()
    refuse(breaker, 15, 2.0, since=T + 40)
    assert breaker.open_until == 0


def test_refusing_host_that_is_probed_and_refuses_stays_away():
    """An answer closes what connections opened, not what refusals opened."""
    breaker = CircuitBreaker()
    last = refuse(breaker, 21, 1.5, Reason.SERVICE_UNAVAILABLE)
    assert breaker.reason == "host_unavailable"
    assert breaker.begin_probe(last + 30)
    breaker.on_connected()
    breaker.on_refusal(last + 30, Reason.SERVICE_UNAVAILABLE)
    assert breaker.blocked_until(last + 31) == last + 90
    breaker.on_success()
    assert breaker.blocked_until(last + 31) == 0


def test_a_probe_that_died_is_not_waited_for_for_ever():
    """Its worker may be gone: after a minute the next one may try."""
    breaker = CircuitBreaker(failures=5, open_until=T)
    assert breaker.begin_probe(T)
    assert breaker.blocked_until(T + 59) > T + 59
    assert breaker.blocked_until(T + 60) == 0

"""The tree: every class pickles, has a reason and exactly one row in the decision table."""

import inspect
import pickle

import pytest

import errors
from errors import taxonomy
from errors.decisions import Layer

CLASSES = [found for _, found in inspect.getmembers(taxonomy, inspect.isclass) if issubclass(found, errors.PictrawlError)]


def test_facade_exports_every_class():
    """What the taxonomy defines, the package offers."""
    assert {found.__name__ for found in CLASSES} <= set(errors.__all__)
    assert sorted(taxonomy.__all__) == sorted({found.__name__ for found in CLASSES} | {"TRANSIENT", "INFRASTRUCTURE"})
    assert all(hasattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize("error_type", CLASSES)
def test_pickle_keeps_everything(error_type):
    """An error crosses a process boundary whole."""
    error = error_type("what failed", status=429, retry_after_s=7.5, reason=errors.Reason.HTTP_410, evidence="a header")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is error_type
    assert (str(copy), copy.message, copy.status, copy.retry_after_s, copy.slug, copy.evidence) == (
        "what failed",
        "what failed",
        429,
        7.5,
        errors.Reason.HTTP_410,
        "a header",
    )


@pytest.mark.parametrize("error_type", CLASSES)
def test_bare_error_has_its_class_reason(error_type):
    """All fields are optional."""
    assert isinstance(error_type().slug, errors.Reason)
    assert error_type().slug is error_type.reason


def test_hierarchy_of_the_seed():
    """Permanent, transient and infrastructure errors are three families without a common member."""
    families = (errors.PermanentError, errors.TransientError, errors.InfrastructureError)
    for error_type in CLASSES:
        assert sum(issubclass(error_type, family) for family in families) <= 1
    assert issubclass(errors.TruncatedBodyError, errors.NetworkError)
    assert issubclass(errors.DatabaseConnectionError, errors.InfrastructureError)
    for ours in (errors.StorageError, errors.ProxyError, errors.QueueUnavailableError):
        assert not issubclass(ours, families)


@pytest.mark.parametrize("error_type", [found for found in CLASSES if found is not errors.PictrawlError])
def test_every_class_has_a_row_in_the_decision_table(error_type):
    """The table is complete, and agrees with the tuples the layers use."""
    decision = errors.DECISION_TABLE[error_type]
    assert (decision.layer is Layer.REQUEST) == issubclass(error_type, errors.TransientError)
    assert (decision.layer is Layer.NOBODY) == issubclass(error_type, errors.PermanentError)
    assert (decision.layer is Layer.JOB) == issubclass(error_type, errors.InfrastructureError)


def test_decision_for_what_is_not_in_the_table():
    """A subclass takes its ancestor's row; a stranger is tried once."""

    class Odd(errors.RateLimitError):
        pass

    assert errors.decision_for(Odd).waits_s == (2.0, 4.0)
    assert errors.decision_for(MemoryError).layer is Layer.JOB
    assert errors.decision_for(KeyError) == errors.Decision(Layer.NOBODY, 1)


def test_reasons_are_stable_slugs():
    """A slug is its name in lower case: rows, API and metrics use it."""
    assert all(reason.value == reason.name.lower() for reason in errors.Reason)

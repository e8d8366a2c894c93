"""Every name of the product that the drills replace exists: a mutant of a name that was renamed would take no safety away."""

import pytest

from tests.drills import faults, lethal, mutants, mutants_matter

VARIABLES = {faults.DIES_AT: "nowhere", faults.FORGOTTEN: "validate_chunk", faults.STORE_FAULTS: "0.5"}
"""Environment that some faults read when they are applied."""

_MODULES = (faults, lethal, mutants_matter)


@pytest.fixture(autouse=True)
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Apply mutants to this process, note the names that they replace, and undo all of it after the test."""
    names: list[str] = []

    def put(name: str, value: object) -> None:
        monkeypatch.setattr(*mutants.locate(name), value)
        names.append(name)

    for module in (mutants, *_MODULES):
        monkeypatch.setattr(module, "_put", put)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return names


@pytest.mark.parametrize("name", sorted(mutants.MUTANTS))
def test_a_mutant_replaces_names_that_exist(name: str, replaced: list[str]) -> None:
    """It can be applied, it replaces something, and its docstring says what it takes away."""
    mutants.MUTANTS[name]()
    assert replaced
    assert mutants.MUTANTS[name].__doc__


def test_shortened_times_are_shorter(replaced: list[str]) -> None:
    """Each constant that the drills shorten exists and was longer."""
    before = {name: getattr(*mutants.locate(name)) for name in mutants.HASTE}
    mutants.hasten()
    assert set(replaced) == set(mutants.HASTE)
    assert all(before[name] >= seconds for name, seconds in mutants.HASTE.items())


def test_a_name_that_does_not_exist_is_refused() -> None:
    """Otherwise the tests above could not fail."""
    with pytest.raises(AttributeError):
        mutants.locate("app.db.units.no_such_function")
    with pytest.raises((AttributeError, ImportError)):
        mutants.locate("app.no_such_module.claim")

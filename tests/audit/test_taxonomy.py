"""Every error class has its row: ours have, and one without is found."""

import errors
from app.audit.rule import judge
from app.audit.sources import installed
from app.audit.taxonomy import RULES, classes, rows
from errors.decisions import DECISION_TABLE
from tests.audit.bad import found_in

TREE = "class PictrawlError(Exception): ...\nclass PermanentError(PictrawlError): ...\n"
TABLE = "DECISION_TABLE: dict = {MemoryError: _JOB, taxonomy.PermanentError: _NEVER}\n"
GOOD = {"errors/taxonomy.py": TREE, "errors/decisions.py": TABLE}


def test_our_tree_and_table_agree() -> None:
    """And the sources say the same as the objects."""
    assert [str(breach) for verdict in judge(RULES, installed()) for breach in verdict.breaches] == []
    assert set(rows(installed())) == {error.__name__ for error in DECISION_TABLE}
    assert {name for name in errors.__all__ if isinstance(value := getattr(errors, name), type) and issubclass(value, Exception)} == set(
        classes(installed())
    )


def test_a_class_without_a_row_and_a_row_without_a_class_are_found() -> None:
    """Each where it stands."""
    assert found_in(RULES, GOOD) == []
    [lost] = found_in(RULES, GOOD | {"errors/taxonomy.py": TREE + "class TeapotError(PermanentError): ...\n"})
    assert lost.startswith("errors/taxonomy.py:3: TeapotError has no row")
    [stale] = found_in(RULES, GOOD | {"errors/decisions.py": TABLE.replace("}", ", taxonomy.TeapotError: _NEVER}")})
    assert stale.startswith("errors/decisions.py:1: TeapotError is no class of the tree")


def test_a_leaf_elsewhere_stands_in_a_family() -> None:
    """Below a class with a row it has that row's rule; below the root it has none."""
    assert found_in(RULES, GOOD | {"app/db/conflicts.py": "class KeyReused(errors.PermanentError): ..."}) == []
    [breach] = found_in(RULES, GOOD | {"app/db/conflicts.py": "class KeyReused(errors.PictrawlError): ..."})
    assert breach.startswith("app/db/conflicts.py:1: KeyReused is in no family")

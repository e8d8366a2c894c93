"""All rules of the audit, in the order they are shown."""

from typing import Final

from app.audit import jobs, logs, network, operations, policy, taxonomy
from app.audit.rule import Rule

__all__ = ["RULES"]

RULES: Final[tuple[Rule, ...]] = (
    *jobs.RULES,
    *policy.RULES,
    *network.RULES,
    *taxonomy.RULES,
    *logs.RULES,
    *operations.RULES,
)

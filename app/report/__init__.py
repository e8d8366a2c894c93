"""``report.html``: what a dataset holds and what was left out, to look at. One file that needs nothing else.

It lies beside a delivered dataset and is no part of it (ADR 0036).
"""

from app.report.making import make_folder_report, make_report
from app.report.page import POLICY

__all__ = ["POLICY", "make_folder_report", "make_report"]

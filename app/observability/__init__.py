"""Figures of this process for Prometheus. Whatever counts imports :mod:`app.observability.families`; whoever shows it, the registry."""

from app.observability import families, labels
from app.observability.endpoint import CONTENT_TYPE, listening, own_figures
from app.observability.instruments import Family, Label, Reading, as_metric, being_read, exposition
from app.observability.looplag import sampled

__all__ = [
    "CONTENT_TYPE",
    "Family",
    "Label",
    "Reading",
    "as_metric",
    "being_read",
    "exposition",
    "families",
    "labels",
    "listening",
    "own_figures",
    "sampled",
]

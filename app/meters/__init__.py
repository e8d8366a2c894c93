"""Figures of this process for Prometheus. Whatever counts imports :mod:`app.meters.families`; whoever shows it, the registry."""

from app.meters import families, labels
from app.meters.endpoint import CONTENT_TYPE, listening, own_figures
from app.meters.instruments import Family, Label, Reading, as_metric, being_read, exposition
from app.meters.looplag import sampled

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

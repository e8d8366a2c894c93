"""The plots of a report, as SVG without a style of its own: the style sheet of the page colours the classes. Pure."""

from markupsafe import Markup

from app.report.model import Distribution, Quartiles

__all__ = ["bar", "histogram", "strip"]

_WIDTH, _HEIGHT = 480, 96
"""Of a histogram, in its own units."""


def bar(value: float, largest: float) -> Markup:
    """A bar of ``value`` by ``largest``, for a cell beside the number."""
    width = 100 * value / largest if largest else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" width="100" height="8"/><rect class="fill" width="{}" height="8"/></svg>'
    ).format(_decimal(width))


def histogram(found: Distribution, words: str) -> Markup:
    """Bars of a distribution, with a line at its median; ``words`` are read in its place."""
    highest = max(found.counts)
    step = _WIDTH / len(found.counts)
    bars = Markup("").join(
        Markup('<rect class="fill" x="{}" y="{}" width="{}" height="{}"/>').format(
            _decimal(at * step), _decimal(_HEIGHT - high), _decimal(step - 1), _decimal(high)
        )
        for at, count in enumerate(found.counts)
        if count and (high := max(1.0, _HEIGHT * count / highest))
    )
    middle = _WIDTH * found.place(found.quartiles.median)
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '{}<line class="median" x1="{x}" x2="{x}" y1="0" y2="{}"/></svg>'
    ).format(_WIDTH, _HEIGHT, words, bars, _HEIGHT, x=_decimal(middle))


def strip(found: Quartiles, whole: Distribution, words: str) -> Markup:
    """The quartiles of a part on the scale of the whole: a line from the 5th to the 95th percentile, a box for the middle half."""
    low, lower, median, upper, high = (
        100 * whole.place(value) for value in (found.low, found.lower, found.median, found.upper, found.high)
    )
    return Markup(
        '<svg class="quartiles" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="track" x="{}" y="4" width="{}" height="2"/><rect class="fill" x="{}" y="1" width="{}" height="8"/>'
        '<rect class="median" x="{}" y="0" width="2" height="10"/></svg>'
    ).format(
        words,
        _decimal(low),
        _decimal(max(1.0, high - low)),
        _decimal(lower),
        _decimal(max(1.0, upper - lower)),
        _decimal(min(98.0, max(0.0, median - 1))),
    )


def _decimal(value: float) -> str:
    """At most one decimal: ``12.5``, ``3``."""
    return f"{value:.1f}".removesuffix(".0")

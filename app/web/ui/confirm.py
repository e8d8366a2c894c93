"""Asking before something is done that cannot be taken back: in a dialog of the page, or as a page of its own without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from app.web.ui.templating import is_fragment, render

__all__ = ["Confirmation", "ask"]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is asked.

    Attributes:
        what: sentences that name what happens and what goes.
        action: where the form is sent, with ``sure`` beside its fields.
        back: the page that a no leads to.
        fields: hidden ones.
        option: name and words of a box that may be checked besides.
        twin: method, path and body of the same over HTTP.
    """

    title: str
    what: Sequence[str]
    action: str
    button: str
    back: str
    fields: Sequence[tuple[str, str]] = ()
    option: tuple[str, str] | None = None
    is_dangerous: bool = True
    twin: tuple[str, str, str | None] | None = None


def ask(request: Request, confirmation: Confirmation) -> Response:
    """Render the question: a script of a page gets what belongs into its dialog."""
    return render(request, "confirm_form.html" if is_fragment(request) else "confirm.html", asked=confirmation)

"""The pages of ``pictrawl serve``: rendered on the server, live over the streams of the API, and without anything from elsewhere.

A page calls the function of its JSON twin in :mod:`app.web.api` and renders what that returns, so both always say the same.
"""

from app.web.ui.errors import answer_error
from app.web.ui.routes import router

__all__ = ["answer_error", "router"]

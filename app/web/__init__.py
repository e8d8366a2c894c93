"""The HTTP API. The only package that knows FastAPI; it submits and shows, and never works on a job itself."""

from app.web.application import create_app, openapi_document
from app.web.server import serve

__all__ = ["create_app", "openapi_document", "serve"]

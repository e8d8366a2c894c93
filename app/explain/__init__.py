"""Explains images, pages and jobs from the database, as text and as data, for the command line and the API."""

from app.explain.checks import Duplicate
from app.explain.image import ExplanationLine, ImageHistory, RequestRecord, explain_image, find_images, names_image
from app.explain.job import JobHistory, explain_job
from app.explain.page import PageHistory, explain_subject, page_lines, page_verdict
from app.explain.render import image_lines, verdict_words

__all__ = [
    "Duplicate",
    "ExplanationLine",
    "ImageHistory",
    "JobHistory",
    "PageHistory",
    "RequestRecord",
    "explain_image",
    "explain_job",
    "explain_subject",
    "find_images",
    "image_lines",
    "names_image",
    "page_lines",
    "page_verdict",
    "verdict_words",
]

"""Explains the outcome of an image and the duration of a job from the database, as text and as data, for the command line and the API."""

from app.explain.checks import Duplicate
from app.explain.image import ExplanationLine, ImageHistory, RequestRecord, explain_image, find_images, names_image
from app.explain.job import JobHistory, explain_job
from app.explain.render import image_lines, verdict_words

__all__ = [
    "Duplicate",
    "ExplanationLine",
    "ImageHistory",
    "JobHistory",
    "RequestRecord",
    "explain_image",
    "explain_job",
    "find_images",
    "image_lines",
    "names_image",
    "verdict_words",
]

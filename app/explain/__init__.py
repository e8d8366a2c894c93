"""What became of an image or a job, gathered from the database and told in words and as data, for the command line and the API alike."""

from app.explain.duplicates import Duplicate
from app.explain.finding import find_images
from app.explain.images import ImageStory, Try, image_story
from app.explain.jobs import JobStory, job_story
from app.explain.lines import Line
from app.explain.telling import image_lines, verdict_words

__all__ = [
    "Duplicate",
    "ImageStory",
    "JobStory",
    "Line",
    "Try",
    "find_images",
    "image_lines",
    "image_story",
    "job_story",
    "verdict_words",
]

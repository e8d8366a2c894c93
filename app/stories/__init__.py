"""What became of an image or a job, gathered from the database and told in words and as data, for the command line and the API alike."""

from app.stories.duplicates import Duplicate
from app.stories.finding import find_images
from app.stories.images import ImageStory, Try, image_story
from app.stories.jobs import JobStory, job_story
from app.stories.lines import Line
from app.stories.telling import image_lines, verdict_words

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

"""In which order a report stands, and for which course: its questions as headings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What a course asks, the parts of the report that answer it, and what is left to write."""

    title: str
    parts: tuple[str, ...] = ()
    task: str = ""


@dataclass(frozen=True)
class Course:
    """For which task, and its questions in their order."""

    task: str
    questions: tuple[Question, ...]


# the parts of a report, in the order of one for no course, and their headings
PARTS = {
    "in_short": "In short",
    "loss": "Losses while it learned",
    "smoothed": "The smoothed loss",
    "evolution": "Samples while it learned",
    "sample": "A text of the model",
    "copied": "What it has copied",
    "records": "Generated records",
    "comparison": "Validation loss beside simple models",
    "labels": "Which label a record has",
    "answers": "What it predicts",
    "gradient": "Gradient check",
    "settings": "Settings",
    "repeat": "To make the run again",
    "speed": "Speed",
    "machine": "Machine and versions",
}
# of these a report for no course has only the parts above
COURSES: dict[str, Course] = {}

"""The report on a trained model: one file with everything that is measured of it."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..data.source import Source
from ..insight.figures import Figures
from ..model.model import Model
from ..validate import choice, positive_float, positive_int
from . import quality, sections, units
from .blocks import Block, Document, Section, Task, Text
from .courses import COURSES, PARTS, Course
from .formats import check, write

Maker = Callable[[], list[Block] | None]


def report(model: Model, path: str | os.PathLike[str], data: Source | None = None, *,
           valid: Any = None, course: str | None = None, seed: int = 0, temperature: float = 1.0,
           overwrite: bool = False, file: str | None = None, flags: Sequence[str] = ()) -> None:
    """Write a report on a trained model: what `Model.report` does. `file` is the name of the
    model's checkpoint, `flags` are those that name the data on the command line."""
    if course is not None:
        choice("course", course, tuple(COURSES))
    if not isinstance(data, Source | None):
        raise TypeError("data must be the Corpus or Sequences that the model was trained on, not "
                        f"{type(data).__name__}")
    seed = positive_int("seed", seed, least=0)
    temperature = positive_float("temperature", temperature, zero=True)
    check(path, overwrite)
    figures = Figures(model, data, valid, seed=seed, temperature=temperature)
    if course is not None:
        _check_kind(course, figures)
    document = compose(figures, COURSES.get(course or ""), file, list(flags))
    write(path, document, overwrite)


Model.reporter = report


def _check_kind(course: str, figures: Figures) -> None:
    """Raise ValueError for a course that is about another kind of model."""
    kind = COURSES[course].kind
    fits = {"text": figures.of_text, "words": figures.of_text and figures.of_words,
            "records": figures.of_records, "sequences": figures.vocabulary is None}
    if not fits[kind]:
        others = [name for name, each in COURSES.items() if fits[each.kind]]
        raise ValueError(f"{course!r} is about a model of {kind}, and this is none: "
                         + (f"choose {' or '.join(map(repr, others))}, or no course" if others
                            else "choose no course"))


def compose(figures: Figures, course: Course | None, file: str | None,
            flags: list[str]) -> Document:
    """The report's content, for any format."""
    makers = _makers(figures, file, flags)
    of = f" on {Path(file).name}" if file else ""
    run = figures.model.run
    trained = f"trained on {run['text']['name']}; " if run else ""
    subtitle = f"{trained}written by fastrnn on {time.strftime('%Y-%m-%d')}"
    left = dict(PARTS)
    parts = []
    for question in course.questions if course else ():
        parts.append(Section(question.title, _answer(question.parts, question.task, makers)))
        for name in question.parts:
            left.pop(name, None)
    also = "Also: " if course else ""
    for name, title in left.items():
        blocks = _part(makers[name])
        if blocks:
            parts.append(Section(also + title[0].lower() + title[1:] if course else title, blocks))
    if course:
        return Document(course.title, f"Report{of}, {subtitle}", parts)
    return Document(f"Report{of or ' on a model'}", subtitle, parts)


def _makers(figures: Figures, file: str | None, flags: list[str]) -> dict[str, Maker]:
    """For each part the function that makes its blocks."""
    return {
        **{name: partial(getattr(sections, name), figures) for name in (
            "in_short", "loss", "smoothed", "evolution", "gradient", "settings", "speed")},
        **{name: partial(getattr(quality, name), figures) for name in (
            "sample", "outputs", "likeliest", "copied", "records", "mixture", "comparison",
            "labels", "answers")},
        "repeat": partial(sections.repeat, figures, file, flags),
        "machine": sections.machine,
        "units": partial(units.units, figures),
    }


def _part(maker: Maker) -> list[Block]:
    """The blocks of a part, or why it is left out; none for what such a model does not have."""
    try:
        return maker() or []
    except sections.Missing as missing:
        return [Text(f"Left out: {missing}")]


def _answer(names: tuple[str, ...], task: str, makers: dict[str, Maker]) -> list[Block]:
    """What is measured to a question of a course, and what is left to write."""
    blocks: list[Block] = []
    for name in names:
        blocks += _part(makers[name])
    if not blocks and not task:
        task = "nothing that is measured of this model answers this."
    return [*blocks, Task(task)] if task else blocks

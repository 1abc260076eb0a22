"""What a report consists of, as data: each format writes the same blocks in its own way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Text:
    """A paragraph; a `note` explains what stands above it."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Task:
    """What nothing measured can answer, so that it is left to the reader to write."""

    text: str


@dataclass(frozen=True)
class Command:
    """Lines for a shell, or of Python."""

    text: str


@dataclass(frozen=True)
class Table:
    """Cells are texts or numbers; `name` stands above the table."""

    rows: Sequence[Sequence[Any]]
    head: Sequence[str] = ()
    name: str = ""


@dataclass(frozen=True)
class Chart:
    """A caption, and a function of `svg` that draws with its arguments; called with inside=True
    if it has a `legend`, that is part of the svg element."""

    draw: Callable[..., str]
    caption: str
    legend: bool = True

    def svg(self, inside: bool) -> str:
        """The svg element, with its legend inside it, or as HTML behind it."""
        return self.draw(inside=inside) if self.legend else self.draw()


@dataclass(frozen=True)
class Sample:
    """A text as a model wrote it, with a title; `marked` are the first and the last place (not
    itself marked) of a passage to be seen."""

    title: str
    text: str
    marked: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Samples:
    """Texts that stand side by side."""

    samples: Sequence[Sample]


Block = Text | Task | Command | Table | Chart | Sample | Samples


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report: its title, a line below it, and its sections."""

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)

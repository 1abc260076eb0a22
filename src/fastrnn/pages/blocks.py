"""What a report consists of, as data: each format writes the same blocks in its own way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class Interactive:
    """HTML with its style and its script, which runs at the end of the page, and the blocks that
    stand `instead` where no script runs. A document has each script once."""

    html: str
    style: str
    script: str
    instead: Sequence["Block"]


Block = Text | Task | Command | Table | Chart | Sample | Samples | Interactive


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

    def interactive(self) -> list[Interactive]:
        """Its interactive blocks."""
        return [block for section in self.sections for block in section.blocks
                if isinstance(block, Interactive)]

    def without_scripts(self) -> "Document":
        """The document with other blocks in place of interactive ones."""
        return replace(self, sections=[
            replace(section, blocks=[each for block in section.blocks for each in (
                block.instead if isinstance(block, Interactive) else [block])])
            for section in self.sections])

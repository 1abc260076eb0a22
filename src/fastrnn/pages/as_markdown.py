"""A report in Markdown, with its charts as SVG files beside it: GitHub and most other programs show
no picture that is inside the text."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from .. import html, svg
from .blocks import Block, Chart, Command, Document, Interactive, Sample, Samples, Table, Task, Text

MARK = "<!-- written by fastrnn -->"
SPECIAL = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])")


def markdown(document: Document, stem: str) -> tuple[str, dict[str, str]]:
    """The text, and the charts by the names of their files, which begin with `stem`."""
    lines = [MARK, "", f"# {inline(document.title)}", "", f"*{inline(document.subtitle)}*", ""]
    charts: dict[str, str] = {}
    colors = html.colors()
    for section in document.without_scripts().sections:
        lines += [f"## {inline(section.title)}", ""]
        for block in section.blocks:
            if isinstance(block, Chart):
                name = f"{stem}-{len(charts) + 1}.svg"
                drawn = block.svg(inside=True)
                if not drawn.startswith("<svg"):  # there is nothing to draw
                    continue
                charts[name] = f"{svg.standalone(drawn, colors)}\n{MARK}\n"
                title = re.search("<title>(.*?)</title>", drawn)
                lines += [f"![{title[1] if title else 'chart'}]({quote(name)})", ""]
            lines += [*lines_of(block), ""]
    return "\n".join(lines), charts


def inline(text: str) -> str:
    """A text in one line that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\g<0>", " ".join(html.plain(text).split()))


def lines_of(block: Block) -> list[str]:
    """A block of a report as lines, but for the picture of a chart."""
    match block:
        case Text():
            return [inline(block.text)]
        case Task():
            return [f"> **For you to write:** {inline(block.text)}"]
        case Command():
            return _fenced(block.text)
        case Table():
            return _table(block)
        case Chart():
            return [inline(block.caption)] if block.caption else []
        case Sample():
            return [f"*{inline(block.title)}*", "", *_fenced(block.text)]
        case Interactive():  # other blocks stand in its place
            return []
        case Samples():
            return [line for each in block.samples for line in (*lines_of(each), "")][:-1]


def _fenced(text: str) -> list[str]:
    """A text as it is, between fences that are longer than any of its runs of backticks."""
    text = html.plain(text)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return [f"{fence}text", text, fence]


def _table(block: Table) -> list[str]:
    columns = max([len(row) for row in block.rows] + [len(block.head)])
    numbers = [all(html.is_number(row[c]) for row in block.rows) for c in range(columns)]

    def row(cells: Sequence[Any]) -> str:
        return f"| {' | '.join(inline(html.written(cell)) for cell in cells)} |"

    name = [inline(block.name), ""] if block.name else []
    return [*name, row(block.head or [""] * columns),
            f"|{'|'.join('--:' if number else '---' for number in numbers)}|",
            *map(row, block.rows)]

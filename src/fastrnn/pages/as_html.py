"""A report as a page of HTML."""

from .. import html
from ..html import visible
from .blocks import (
    Block,
    Chart,
    Command,
    Document,
    Interactive,
    Sample,
    Samples,
    Section,
    Table,
    Task,
    Text,
)

SHORT = 15  # rows of a table that stays on one page

STYLE = """\
nav { font-size: .9rem; }
nav ol { columns: 2; column-gap: 3rem; padding-left: 1.5rem; margin: .5rem 0; }
.subtitle { color: var(--faint); margin-top: -.5rem; overflow-wrap: anywhere; }
h1 { overflow-wrap: anywhere; }
.samples { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); }
.samples figure, figure.sample { margin: .5rem 0; }
.samples .text { font-size: .8rem; margin: .2rem 0 0; }
mark { background: none; color: inherit; text-decoration: underline; font-weight: bold; }
td:first-child { overflow-wrap: break-word; }
.task { border-left: 4px solid var(--series1); padding-left: .8rem; }
caption { text-align: left; color: var(--faint); font-size: .9rem; padding-bottom: .3rem; }
@media (max-width: 40rem) { nav ol { columns: 1; } .samples { grid-template-columns: 1fr; }
  table { font-size: .85rem; } td, th { padding-right: .5rem; }
  .chart { overflow-x: auto; } .chart > svg { min-width: 34rem; } }
.pair { display: contents; }
@media print { nav { display: none; } figure.sample, .text { break-inside: auto; }
  .sample figcaption { break-after: avoid; }
  .short { break-inside: avoid; }
  .samples .text { font-size: 7.5pt; }
  .samples { display: table; width: 100%; table-layout: fixed; }
  .pair { display: table-row; break-inside: avoid; }
  .pair figure { display: table-cell; padding: 0 1rem .5rem 0; } }
"""


def page(document: Document, style: str = "") -> str:
    """The page, with everything in it; `style` comes after that of reports."""
    listed = "".join(f'<li><a href="#part{i}">{visible(section.title)}</a></li>'
                     for i, section in enumerate(document.sections, 1))
    body = (f"<h1>{visible(document.title)}</h1>\n"
            f'<p class="subtitle">{visible(document.subtitle)}</p>\n'
            f'<nav aria-label="Contents"><ol>{listed}</ol></nav>\n<main>\n'
            + "".join(_section(i, each) for i, each in enumerate(document.sections, 1)) + "</main>")
    interactive = document.interactive()
    return html.document(document.title, body,
                         script="".join(block.script for block in interactive),
                         style=STYLE + "".join(block.style for block in interactive) + style)


def _section(number: int, section: Section) -> str:
    return (f'<section id="part{number}">\n<h2>{visible(section.title)}</h2>\n'
            + "\n".join(map(_block, section.blocks)) + "\n</section>\n")


def _block(block: Block) -> str:
    match block:
        case Text():
            return f"<p{' class=note' * block.note}>{visible(block.text)}</p>"
        case Task():
            return f'<p class="task"><strong>For you to write:</strong> {visible(block.text)}</p>'
        case Command():
            return f"<pre><code>{visible(block.text)}</code></pre>"
        case Table():
            drawn = html.table(block.rows, block.head, block.name)
            return f'<div class="short">{drawn}</div>' if len(block.rows) <= SHORT else drawn
        case Chart():
            caption = f"<figcaption>{visible(block.caption)}</figcaption>" * bool(block.caption)
            return f'<figure><div class="chart">{block.svg(inside=False)}</div>{caption}</figure>'
        case Interactive():
            return block.html
        case Sample():
            return _sample(block)
        case Samples():
            shown = [_sample(each) for each in block.samples]
            pairs = ("".join(shown[i : i + 2]) for i in range(0, len(shown), 2))
            return ('<div class="samples">'
                    + "".join(f'<div class="pair">{pair}</div>' for pair in pairs) + "</div>")


def _sample(sample: Sample) -> str:
    start, end = sample.marked
    text = (visible(sample.text) if start == end else
            f"{visible(sample.text[:start])}<mark>{visible(sample.text[start:end])}</mark>"
            f"{visible(sample.text[end:])}")
    return (f'<figure class="sample"><figcaption>{visible(sample.title)}</figcaption>'
            f'<div class="text" dir="auto">{text}</div></figure>')

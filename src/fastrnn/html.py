"""Pages of one file that load nothing, and texts of strangers in them."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

# C0 but for tab and line feed, DEL, C1, marks and overrides of the direction of writing, the line
# and paragraph separators, the byte order mark, surrogates
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
                    "\ufeff\ud800-\udfff]")

NUMBER = re.compile(r"|-?[0-9][0-9,]*(\.[0-9]+)?(e[+-]?[0-9]+)? ?%?")

WORD = 20  # symbols of a word that is not broken in a table

STYLE = """\
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #ffffff; --faint: #6a6a6a;
  --line: #d5d5d5; --panel: #f5f5f3; --accent: #0072b2;
  --series0: #0072b2; --series1: #d55e00; --series2: #009e73; --series3: #cc79a7;
  --series4: #b07d00; --series5: #56b4e9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --paper: #161616; --faint: #a2a2a0;
  --line: #3c3c3c; --panel: #222222; --accent: #56b4e9;
  --series0: #56b4e9; --series1: #e8853d; --series2: #2fc99a; --series3: #e0a3c6;
  --series4: #e0b23c; --series5: #9cc9e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2rem; }
h3 { font-size: 1.05rem; }
a { color: var(--accent); }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
td.number, th.number, td.whole, th.whole { overflow-wrap: normal; }
pre, .text { font: .875rem/1.45 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; background: var(--panel); padding: .75rem; border-radius: 4px;
  margin: .5rem 0; }
code { font-family: ui-monospace, monospace; }
.hidden-symbol { color: var(--faint); }
.note, figcaption { color: var(--faint); font-size: .9rem; }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
button, input, select { font: inherit; color: inherit; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media print { :root { --ink: #000; --paper: #fff; --panel: #fff; --faint: #444; --line: #bbb; }
  body { max-width: none; padding: 0; font-size: 10.5pt; } pre, .text { border: 1px solid #bbb; }
  h2, h3 { break-after: avoid; } figure, tr, pre { break-inside: avoid; }
  .controls { display: none; }
  @page { size: A4; margin: 18mm; } }
"""
FRAGMENT_STYLE = """\
.fastrnn table { font-size: inherit; margin: 0; } .fastrnn .wide { overflow-x: auto; }
.fastrnn caption, .fastrnn td, .fastrnn th { text-align: left; }
.fastrnn caption { font-weight: bold; } .fastrnn svg { max-width: 100%; height: auto; }"""


def colors(dark: bool = False) -> dict[str, str]:
    """The colours of pages by the names of their CSS variables."""
    light_and_dark = re.findall(r":root \{.*?\}", STYLE, re.DOTALL)
    return dict(re.findall(r"--(\w+): (#\w+);", light_and_dark[dark]))


def document(title: str, body: str, *, script: str = "", style: str = "",
             language: str = "en") -> str:
    """A whole page as text, to be written in UTF-8.

    It may load nothing and send nothing, and of all scripts only `script` runs in it: the browser
    is told so (Content-Security-Policy), in case a text in `body` were not escaped.

    Parameters
    ----------
    title : str
        Text, not HTML.
    body : str
        HTML; texts in it went through `visible`.
    script, style : str, optional
        JavaScript that runs at the end of the body, and CSS after the common style.
    language : str
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    policy = (f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
              "img-src data:; base-uri 'none'; form-action 'none'")
    return (f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta name="generator" content="fastrnn">\n<title>{escape(plain(title))}</title>\n'
            f"<style>\n{STYLE}{style}</style>\n</head>\n<body>\n{body}\n"
            + (f"<script>{script}</script>\n" if script else "") + "</body>\n</html>\n")


def fragment(body: str) -> str:
    """A part of a notebook: what `document` says about colours, in those of the notebook's theme,
    and for this part alone."""
    colors = {"ink": "currentColor", "faint": "var(--jp-content-font-color2, #777777)",
              "line": "var(--jp-border-color2, #99999977)", "series0": "#2f86c1",
              "series1": "#d55e00", "series2": "#009e73"}
    style = "; ".join(f"--{name}: {color}" for name, color in colors.items())
    return f'<div class="fastrnn" style="{style}"><style>{FRAGMENT_STYLE}</style>{body}</div>'


def embed(data: Any, name: str) -> str:
    """A script element, not run, with the id `name` that holds data as JSON:
    ``JSON.parse(document.getElementById(name).textContent)`` reads it. NaN is refused."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII
    for symbol in "<>&":  # nothing that ends the element, or opens a comment in it
        text = text.replace(symbol, f"\\u{ord(symbol):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def plain(text: str) -> str:
    r"""A text with control characters, marks of direction and other invisible characters written
    out, such as ``\x1b`` or ``\u202e``."""
    return HIDDEN.sub(lambda found: _code(found[0]), text)


def visible(text: str) -> str:
    """A text as HTML: escaped, and what `plain` writes out set apart in grey."""
    pieces, end = [], 0
    for found in HIDDEN.finditer(text):
        pieces += [escape(text[end:found.start()]),
                   f'<span class="hidden-symbol">{_code(found[0])}</span>']
        end = found.end()
    return "".join([*pieces, escape(text[end:])])


def _code(symbol: str) -> str:
    code = ord(symbol)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def table(rows: Iterable[Sequence[Any]], head: Sequence[str] = (), name: str = "") -> str:
    """A table; each cell is a text or a number. A column of numbers, as numbers or as texts,
    stands on the right.

    `name` is what a screen reader calls it, and stands above it."""
    rows = list(rows)
    right = [all(is_number(cell) for cell in column) for column in zip(*rows, strict=True)]
    titles = "".join(_cell('th scope="col"', title, number)
                     for title, number in zip(head, right, strict=False))
    caption = f"<caption>{visible(name)}</caption>" if name else ""
    lines = "".join("<tr>" + "".join(_cell("td", written(cell), number) for cell, number in
                                     zip(row, right, strict=True)) + "</tr>\n" for row in rows)
    return (f'<div class="wide"><table>{caption}'
            + (f"<thead><tr>{titles}</tr></thead>" if titles else "")
            + f"<tbody>\n{lines}</tbody></table></div>")


def _cell(tag: str, text: str, number: bool) -> str:
    """A cell; its words are broken across lines only where one is long."""
    short = all(len(word) <= WORD for word in text.split())
    kind = " class=number" if number else " class=whole" * short
    return f"<{tag}{kind}>{visible(text)}</{tag[:2]}>"


def is_number(cell: Any) -> bool:
    """Whether a cell of a table is a number, a text that is one, or empty."""
    if isinstance(cell, str):
        return NUMBER.fullmatch(cell) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def written(cell: Any) -> str:
    """The text of a cell of a table."""
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)

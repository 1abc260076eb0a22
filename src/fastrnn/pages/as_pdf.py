"""A report as a PDF of A4 pages, by WeasyPrint."""

import re
from typing import Any

from .. import html, svg
from .as_html import page
from .blocks import Document

MARK = b"\n% written by fastrnn\n"  # a comment at the end
STYLE = """\
@page { size: A4; margin: 18mm 18mm 20mm;
  @bottom-right { content: counter(page) " / " counter(pages); color: #666;
    font: 8pt sans-serif; } }
html { font-size: 9.5pt; }
body { font-family: "DejaVu Sans", "Liberation Sans", sans-serif; font-size: 9.5pt; }
.text, pre, code { font-family: "DejaVu Sans Mono", "Liberation Mono", monospace; }
table { font-size: 8.5pt; } td, th { padding-top: .1rem; padding-bottom: .1rem; }
h1 { font-size: 16pt; } h2 { font-size: 12.5pt; }
.samples .text { font-size: 7pt; }
.text { font-size: 8pt; }
"""


def printer() -> Any:
    """WeasyPrint; ImportError with what to do where it, or a library that it needs, is missing."""
    try:
        import weasyprint
    except ImportError:
        raise ImportError('a report as PDF needs WeasyPrint: pip install "fastrnn[report]", or '
                          "write it as .html and print that from a browser") from None
    except OSError as error:
        raise ImportError(f"WeasyPrint needs the library Pango ({error}): install it (on Debian "
                          "libpangoft2-1.0-0), or write the report as .html and print that from a "
                          "browser") from None
    return weasyprint


def pdf(document: Document) -> bytes:
    """The bytes of the file."""
    text = page(document.without_scripts(), STYLE)
    # the charts' colours are CSS variables, which WeasyPrint does not look for in them
    text = re.sub(r"<svg .*?</svg>", lambda chart: svg.standalone(chart[0], html.colors()), text,
                  flags=re.DOTALL)
    found: bytes = printer().HTML(string=text, url_fetcher=_refuse).write_pdf()
    return found.rstrip() + MARK


def _refuse(url: str, *_: Any, **__: Any) -> Any:
    raise ValueError(f"a report loads nothing, and {url!r} would be loaded")

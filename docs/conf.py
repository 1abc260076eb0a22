"""Sphinx's settings of the documentation: ``python -m sphinx -W docs docs/_build/html``.

Pages are Markdown that reads well in the repository too. Those that lie outside of this folder,
such as CHANGELOG.md, are shown by pages here that have nothing but ``include``.
"""

import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature

import fastrnn

sys.path.insert(0, os.path.dirname(__file__))  # of what is beside this file
import notebooks
import public

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "fastrnn"
author = "the fastrnn maintainers"
version = release = fastrnn.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary",
              "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that do not say theirs: commands, and what is printed
suppress_warnings = ["myst.header"]  # a page that is shown may begin with a heading of any level
autosummary_generate = False  # public.py writes the pages
python_maximum_signature_line_length = 80  # longer ones have one argument on a line
python_trailing_comma_in_multi_line_signatures = False
default_role = "py:obj"
smartquotes = False  # "lstm" is a value to copy
autodoc_typehints = "none"  # numpydoc's sections have them
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp"

html_theme = "pydata_sphinx_theme"
html_title = "fastrnn"
html_show_sourcelink = False
html_show_search_summary = False  # a page that is opened as a file may not read the others
html_context = {"default_mode": "auto"}
html_copy_source = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]

INCLUDED = re.compile(r"^```\{include\} (\S+)\n```$", re.M)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)


def shown_by() -> dict[Path, Path]:
    """File outside of docs/ -> the page that shows it."""
    pages = {}
    for page in HERE.rglob("*.md"):
        if "_build" not in page.parts and (found := INCLUDED.search(page.read_text("utf-8"))):
            pages[(page.parent / found[1]).resolve()] = page
    return pages


def rewritten(text: str, of: Path, page: Path) -> str:
    """The text of a file as it stands in a page: links go to where their targets are shown; those
    to files that are on no page become text."""
    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return found[0]
        file = (of.parent / path).resolve()
        file = pages.get(file, file)
        if not file.is_relative_to(HERE):
            return words
        return f"{picture}[{words}]({os.path.relpath(file, page.parent)}{anchor and '#'}{anchor})"

    pages = shown_by()
    parts = FENCED.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def read(app: Sphinx, name: str, source: list[str]) -> None:
    page = Path(app.env.doc2path(name))
    if page.suffix != ".md":
        return
    found = INCLUDED.search(source[0])
    of = (page.parent / found[1]).resolve() if found else page
    source[0] = rewritten(of.read_text("utf-8") if found else source[0], of, page)
    if page in notebooks.tutorials():
        link = f'<a href="{page.stem}.ipynb" download>This page as a notebook</a>'
        source[0] = source[0].replace("\n", f"\n\n{link}\n", 1)


def write_notebooks(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        notebooks.write(Path(app.outdir))


def without_methods(app: Sphinx, what: str, name: str, of: object, options: object,
                    lines: list[str]) -> None:
    """A class's page lists its methods below its docstring, which names them for help()."""
    found = re.sub(r"^Methods\n-+\n(?:.+\n| *\n(?= ))*", "", "\n".join(lines), flags=re.M)
    lines[:] = found.split("\n")


def signature(app: Sphinx, what: str, name: str, of: Any, options: object, given: str | None,
              returned: str | None) -> tuple[str | None, str | None]:
    """A class is called with the arguments of its __init__, also where it has a __new__."""
    if what not in ("class", "exception") or not inspect.isfunction(of.__init__):
        return given, returned
    parameters = list(inspect.signature(of.__init__).parameters.values())[1:]
    return stringify_signature(inspect.Signature(parameters), show_annotation=False), None


def write_pages(app: Sphinx) -> None:
    """The pages of the public names, which the tables of reference/api.md lead to."""
    public.write_pages(HERE / "reference" / "api")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-process-docstring", without_methods, priority=400)  # before numpydoc
    app.connect("build-finished", write_notebooks)
    return {"parallel_read_safe": True}

"""Notebooks of the tutorials: `python docs/notebooks.py FOLDER` writes one of each, from its page.

The pages are Start and the guides of courses. Their Python becomes cells of code, what a page takes
as given (`<!-- python ... -->`) too, and all else is text: shell commands, and blocks that are not
run. What blocks print is left out, since a notebook shows it when it is run; links to other pages
are words. The site has them for download (conf.py).
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = re.compile(
    r"^<!-- python\n(?P<given>.*?)^-->$"
    r"|^(?P<skip><!-- not run: [^\n]+ -->\n)?```python\n(?P<code>.*?)^```$"
    r"(?:\s*^<!-- output -->\n```text\n(?P<output>.*?)^```$)?", re.M | re.S)
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\((?![a-z]+:)[^)\s]+\)")
FILE = re.compile(r'"([\w-]+\.(?:txt|tsv|csv))"')


def tutorials() -> list[Path]:
    """The pages of which there are notebooks: those with Python in them."""
    pages = [HERE / "start.md", *sorted((HERE / "courses").glob("*.md"))]
    return [page for page in pages if BLOCK.search(page.read_text("utf-8"))]


def notebook(page: Path) -> dict[str, Any]:
    """The notebook of a page, in nbformat 4.5."""
    text, cells, at = page.read_text("utf-8"), [], 0
    for block in BLOCK.finditer(text):
        if block["skip"]:  # stays in the text
            continue
        cells += [("markdown", text[at:block.start()]), ("code", block["given"] or block["code"])]
        at = block.end()
    cells.append(("markdown", text[at:]))
    title, cells[0] = cells[0][1].partition("\n")[0], ("markdown", cells[0][1].partition("\n")[2])
    files = sorted(set(FILE.findall("".join(source for kind, source in cells if kind == "code"))))
    needs = f" It reads {', '.join(files)}: put them into its folder." if files else ""
    cells.insert(0, ("markdown", f"{title}\n\n*From fastrnn's documentation. This notebook needs "
                                 f'`pip install ".[plot]"` in the clone\'s folder.{needs}*'))
    return {"cells": [cell(i, kind, source) for i, (kind, source) in enumerate(cells)
                      if source.strip()],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3",
                                        "language": "python"}},
            "nbformat": 4, "nbformat_minor": 5}


def cell(number: int, kind: str, source: str) -> dict[str, Any]:
    """One cell of a notebook, its text without comments and without links to other pages."""
    if kind == "markdown":
        parts = FENCED.split(re.sub(r"^<!-- .*? -->\n", "", source, flags=re.M))
        source = "".join(part if part.startswith("```") else LINK.sub(r"\1", part)
                         for part in parts)
    made: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {},
                            "source": source.strip("\n")}
    return made | {"execution_count": None, "outputs": []} if kind == "code" else made


def write(folder: Path) -> None:
    """Write all notebooks, each where its page is in the documentation."""
    for page in tutorials():
        path = (folder / page.relative_to(HERE)).with_suffix(".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook(page), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

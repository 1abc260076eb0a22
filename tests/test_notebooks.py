"""The notebooks of the tutorials: valid, with all Python of their pages, and executed."""

import ast
import json
import re
from pathlib import Path

import notebooks
import pytest

PAGES = notebooks.tutorials()


def name_of(page):
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_notebook_has_the_page(page):
    text = page.read_text(encoding="utf-8")
    cells = notebooks.notebook(page)["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    run = [block for block in notebooks.BLOCK.finditer(text) if not block["skip"]]
    assert code == [(block["given"] or block["code"]).strip("\n") for block in run]
    for source in code:
        ast.parse(source)
    words = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert words.startswith(text.partition("\n")[0] + "\n")
    assert not re.search(r"\]\([^)]*\.md", words) and "<!--" not in words
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [line for line in words.splitlines() if line.startswith("## ")]


def test_links_become_words_but_not_in_code(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n[a page](other.md#x), [`code`](../x.md), ![picture](y.png) and\n"
                    "[elsewhere](https://example.org).\n\n```\nnames[0](more)\n```\n\n"
                    "<!-- not run: why -->\n```python\nf[0](x)\n```\n\n"
                    '```python\nopen("a.txt")\n```\n')
    introduction, text, code = (cell["source"] for cell in notebooks.notebook(page)["cells"])
    assert introduction.startswith("# Page\n") and "It reads a.txt:" in introduction
    assert text == ("a page, `code`, picture and\n[elsewhere](https://example.org).\n\n"
                    "```\nnames[0](more)\n```\n\n```python\nf[0](x)\n```")
    assert code == 'open("a.txt")'


def test_written_where_the_pages_are(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebooks.write(tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.ipynb"))
    assert Path("start.ipynb") in written and Path("courses", "kth.ipynb") in written
    assert len(written) == len(PAGES)
    for path in written:
        nbformat.validate(json.loads((tmp_path / path).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_notebook_runs(page, small_files):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat")
    made = nbformat.from_dict(notebooks.notebook(page))
    nbclient.NotebookClient(made, timeout=300, kernel_name="python3",
                            resources={"metadata": {"path": str(small_files)}}).execute()
    assert all(cell["execution_count"] for cell in made["cells"] if cell["cell_type"] == "code")

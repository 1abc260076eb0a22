"""README and docs/ are true: their Python runs, README's passes type checkers, links lead to files.

A page's ```python blocks run one after the other, as written, in a directory with small files of
the names that the pages use. `<!-- python ... -->` before them defines what the page takes as given
(a series x, say); a block under `<!-- not run: why -->` is only compiled. A ```text block under
`<!-- output -->` is what the block before it prints, compared as doctest does it: "..." stands for
anything, blanks count once. `pytest tests/test_readme.py --refresh` writes those that differ anew.
"""

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from notebooks import BLOCK

from fastrnn import cli

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.M | re.S)
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
NEEDED = {"onnx.md": ("onnx", "onnxruntime")}  # by the Python of a page


def blocks(path):
    """The page's Python: (code, whether it is run, the match whose "output" it prints)."""
    found, text = [], path.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        # the same line numbers as in the page, so that an error leads there
        group = "given" if match["code"] is None else "code"
        above = text.count("\n", 0, match.start(group))
        found.append(("\n" * above + match[group], not match["skip"], match))
    return found


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_runs(page, small_files, request):
    for name in NEEDED.get(page.name, ()):
        pytest.importorskip(name, reason=f"{name} is not installed")
    namespace, checker = {"__name__": page.stem}, doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    changed = []  # (from, to, what is printed now)
    for text, run, match in blocks(page):
        program = compile(text, page.name, "exec")
        if not run:
            continue
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(program, namespace)
        got = "".join(line.rstrip() + "\n" for line in printed.getvalue().splitlines())
        if match["output"] is not None and not checker.check_output(match["output"], got, flags):
            changed.append((*match.span("output"), got))
    if changed and request.config.getoption("--refresh"):
        text = page.read_text(encoding="utf-8")
        for start, end, new in reversed(changed):
            text = text[:start] + new + text[end:]
        page.write_text(text, encoding="utf-8")
    else:
        assert not changed, f"{name_of(page)} shows what is not printed any more: --refresh writes"


def test_commands_run(small_files, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))  # what a person types: Enter
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8").replace("\\\n", "")
    commands = [shlex.split(line) for block in FENCED.findall(text)
                for line in block.splitlines() if line.startswith("fastrnn ")]
    assert len(commands) > 8
    for command in commands:
        if command == ["fastrnn", "train"]:  # a minute
            continue
        *command, file = command if ">" in command else [*command, ">", ""]
        if "--minutes" in command:
            minutes = command.index("--minutes") + 1
            command[minutes] = str(float(command[minutes]) / 10)
        capsys.readouterr()
        assert cli.main(command[1:-1]) == 0, command
        if file:
            Path(file).write_text(capsys.readouterr().out, encoding="utf-8")


def test_readme_has_python():
    assert len(blocks(README)) >= 1
    assert all(run for _, run, _ in blocks(README))


def type_check(command, tmp_path):
    """Run a type checker on README's Python, which stands in a file of tmp_path."""
    file = tmp_path / "readme.py"
    file.write_text("".join(code.lstrip("\n") for code, *_ in blocks(README)), encoding="utf-8")
    return subprocess.run([*command, str(file)], cwd=tmp_path, capture_output=True, text=True)


def test_readme_passes_mypy(tmp_path):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    done = type_check([sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull],
                      tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_passes_pyright(tmp_path):
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent)) or shutil.which(
        "pyright")
    if pyright is None or subprocess.run([pyright, "--version"], capture_output=True).returncode:
        pytest.skip("pyright is not installed")
    done = type_check([pyright, "--pythonpath", sys.executable], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def links(path):
    """The targets of the page's links and pictures, those in code aside."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "code", text))


def headings(path):
    """The anchors that the page's headings have on GitHub."""
    lines = FENCED.sub("", path.read_text(encoding="utf-8")).splitlines()
    titles = [line.lstrip("#").strip().lower() for line in lines if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    dead = []
    for link in links(page):
        target = urllib.parse.urlsplit(link)
        if target.scheme:
            continue
        file = (page.parent / target.path).resolve() if target.path else page
        if not file.exists() or (target.fragment and target.fragment not in headings(file)):
            dead.append(link)
    assert not dead, f"{name_of(page)} links to what is not there: {dead}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_are_named(page):
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    named = set(re.findall(r"`((?:src|csrc|docs|bench|examples|data|tests)/[^\s`*]*)`", text))
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, f"{name_of(page)} names files that are not there: {missing}"


def in_toctrees(page):
    """The pages of the tables of contents of a page, and of theirs."""
    found = {page}
    for tree in TOCTREE.findall(page.read_text(encoding="utf-8")):
        for line in tree.splitlines():
            entry = (page.parent / f"{re.sub(r'.*<|>', '', line).removesuffix('.md')}.md").resolve()
            if entry.exists():
                found |= in_toctrees(entry)
    return found


def test_every_page_is_in_the_table_of_contents():
    assert in_toctrees(DOCS / "index.md") == set(PAGES) - {README}


def test_commands_of_continuous_integration():
    lines = README.read_text(encoding="utf-8").splitlines()
    for command in ("pip install . && fastrnn train", 'pip install ".[test]" && pytest -n auto'):
        assert lines[lines.index(command) - 1] == lines[lines.index(command) + 1][:3] == "```"


def test_tests_that_are_named():
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    for page in PAGES:
        for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")):
            assert f"def {name}(" in tests, f"{name_of(page)} names {name}"

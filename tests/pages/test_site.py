"""The documentation as a site: it builds without a warning, has a place for every public name,
finds words, asks no other host for anything, and fits on a phone; its tables are those of the
source."""
import ast
import importlib.util
import os
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from browsing import console, look, open_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TABLES = ["settings", "presets", "command-line"]
WIDE = ["index", "start", "courses/index", "guides/text", "guides/onnx", "inside/equations",
        "inside/overview", "reference/settings", "reference/command-line", "reference/api",
        "reference/api/fastrnn.train", "reference/api/fastrnn.nn.SoftmaxCrossEntropy",
        "about/speed", "about/results", "about/notes"]


def module(name):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the built site."""
    for needed in ("sphinx", "myst_parser", "numpydoc", "pydata_sphinx_theme", "sphinx_copybutton"):
        pytest.importorskip(needed, reason='pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "doctrees",
         DOCS, folder / "html"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"})
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_public_name_has_a_place(site):
    from sphinx.util.inventory import InventoryFile
    with open(site / "objects.inv", "rb") as file:
        inventory = InventoryFile.load(file, "", os.path.join)
    found = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    public = module("public").names()
    assert {"fastrnn.train", "fastrnn.nn", "fastrnn.Model.sample", "fastrnn.nn.LSTM.backward",
            "fastrnn.History.plot", "fastrnn.Corpus.from_file"} <= {*public}
    assert not {"fastrnn.Model.reporter", "fastrnn.Model.stored"} & {*public}
    assert [name for name in public if name not in found] == []


@pytest.mark.parametrize("page", TABLES)
def test_tables_are_those_of_the_source(page, request):
    file = DOCS / "reference" / f"{page}.md"
    text = file.read_text(encoding="utf-8")
    new = module("tables").with_tables(text)
    assert new.count("\n| ") > 50
    if text != new and request.config.getoption("--refresh"):
        file.write_text(new, encoding="utf-8")
    else:
        assert text == new, "pytest tests/pages/test_site.py --refresh writes the tables anew"


def test_every_preset_has_a_table():
    from fastrnn.presets import PRESETS
    text = (DOCS / "reference" / "presets.md").read_text(encoding="utf-8")
    assert re.findall(r"^<!-- table: preset (\S+) -->$", text, re.M) == [*PRESETS]


def test_every_command_has_a_table():
    from fastrnn import cli
    text = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^<!-- table: flags of (\S+) -->$", text, re.M) == [
        cli.name_of(command) for command in cli.COMMANDS]


def test_every_setting_is_in_a_table():
    from fastrnn import settings
    text = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    shown = {*re.findall(r"^\| `(\w+)`[ <]", text, re.M)}
    known = {name for group in vars(settings).values()
             if isinstance(group, type) and group.__name__.endswith("Settings")
             for name in settings.declared(group)}
    assert shown == known


def test_nothing_is_asked_of_another_host(site):
    """Scripts, styles, fonts and pictures are files of the site; links may lead elsewhere."""
    loads = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
    inside = re.compile(r"url\(\s*[\"']?([^)\"']+)|@import\s+[\"']([^\"']+)")
    asked = {(file.name, target) for file in site.rglob("*.html")
             for target in loads.findall(file.read_text(encoding="utf-8"))}
    assert len(asked) > 100
    asked |= {(file.name, "".join(found)) for file in site.rglob("*.css")
              for found in inside.findall(file.read_text(encoding="utf-8"))}
    assert {(name, target) for name, target in asked
            if urllib.parse.urlsplit(target).scheme not in ("", "data") or
            target.startswith("//")} == set()


@pytest.fixture
def offline(browser):
    """The browser, without a network."""
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions | {"offline": True})
    yield browser
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions | {"offline": False})
    browser.execute_cdp_cmd("Network.disable", {})


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_search_without_a_network(site, offline, dark):
    """In a browser without a network, from the file: results for a word of the guides. A request to
    another host would be an error in the console."""
    look(offline, dark=dark)
    open_page(offline, site / "index.html")
    mode = offline.execute_script("return document.documentElement.dataset.theme")
    assert mode == ("dark" if dark else "light")
    offline.get((site / "search.html").resolve().as_uri() + "?q=dropout")
    end, results = time.monotonic() + 20, []
    while not any("reference/settings.html" in target for target in results):
        assert time.monotonic() < end, f"not all results: {results}"
        results = offline.execute_script(
            "return [...document.querySelectorAll('#search-results ul.search li a')]"
            ".map(a => a.href)")
    assert any("nn.Dropout.html" in target for target in results) and console(offline) == []


@pytest.mark.parametrize("page", WIDE)
def test_a_page_fits_on_a_phone(site, browser, page):
    """What is wide, tables and code, scrolls inside of its box and not with the page."""
    look(browser, width=390, height=844)
    open_page(browser, site / f"{page}.html")
    width = browser.execute_script("return document.documentElement.scrollWidth")
    cut = browser.execute_script("""
        return [...document.querySelectorAll('article *')].filter(element => {
            for (let e = element; e.tagName !== 'ARTICLE'; e = e.parentElement)
                if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX)) return false;
            const box = element.getBoundingClientRect();
            return box.width > 0 && box.right > 391 && getComputedStyle(element).clip === 'auto';
        }).slice(0, 3).map(element => element.outerHTML.slice(0, 200))""")
    assert width <= 390 and cut == []


def texts_of_source():
    """The texts of the source as lists of their fixed parts, between which values are filled in."""
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield [part.value if isinstance(part, ast.Constant) else ""
                       for part in [ast.Constant(""), *node.values, ast.Constant("")]]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield [node.value]


def test_errors_are_those_of_the_source():
    """Each message of the page is one of fastrnn's, apart from what differs from case to case."""
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*)\n```$", page, re.M)
    assert len(shown) > 40
    known = [parts for parts in texts_of_source() if sum(map(len, parts)) > 15]

    def same(text, parts):
        at = len(parts[0]) if text.startswith(parts[0]) else -1
        for part in parts[1:]:
            at = -1 if at < 0 else text.find(part, at) + len(part) if part in text[at:] else -1
        return at >= 0 and text.endswith(parts[-1])

    assert [text for text in shown if not any(same(text, parts) for parts in known)] == []
    other = [text[:-3] for text in shown]  # no pattern is so open that it takes any text
    assert sum(any(same(text, parts) for parts in known) for text in other) < len(other) / 3

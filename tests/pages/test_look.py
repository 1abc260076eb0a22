"""The page that shows units: its colours and numbers are those of `activations` and `reach`, and no
text of a stranger is run, hidden or reordered by it."""
import json
import os
import re

import numpy as np
import pytest
from browsing import console, look, open_page

import fastrnn
from fastrnn.cli import main
from fastrnn.html import document
from fastrnn.insight.activations import activations
from fastrnn.insight.reach import reach
from fastrnn.insight.units import correlations
from fastrnn.pages.look import STYLE, read

TEXT = ('He said: "Go on (now),"\nand she went to 12 Oak\nRoad. The "old" house was there\n'
        "with (some) trees. <b>&amp;</b>\n")


def made(cell="lstm", num_layers=2, text=TEXT, unit="char", H=7, **settings):
    corpus = fastrnn.Corpus.from_text(text, unit)
    model = fastrnn.Model(corpus.vocabulary, cell=cell, hidden_size=H, num_layers=num_layers,
                          dtype="float64", **settings)
    rng = np.random.default_rng(3)
    model.block[:] = rng.normal(0, 0.5, model.block.size)
    model.state[:] = rng.normal(0, 0.5, model.state.shape)
    return model


@pytest.fixture
def shown(browser, tmp_path):
    """Opens the page of a model and a text, light, 1200 points wide, and waits for its values."""
    look(browser, width=1200)

    def opened(model, text=TEXT, **settings):
        fastrnn.look(model, text, tmp_path / "look.html", **settings)
        open_page(browser, tmp_path / "look.html")
        ready(browser)
        return browser

    yield opened
    look(browser)


def ready(browser):
    browser.execute_async_script("""
        const done = arguments[0], root = document.getElementById("look");
        (function wait() { root.dataset.ready ? done() : setTimeout(wait, 20); })();""")


def press(browser, *keys, shift=False):
    from selenium.webdriver import ActionChains, Keys
    text = browser.find_element("id", "look-text")
    browser.execute_script("arguments[0].focus({ preventScroll: true })", text)
    actions = ActionChains(browser)
    if shift:
        actions.key_down(Keys.SHIFT)
    for key in keys:
        actions.send_keys(getattr(Keys, key))
    if shift:
        actions.key_up(Keys.SHIFT)
    actions.perform()


def choose(browser, mode):
    browser.find_element("css selector", f"[name=look-mode][value={mode}]").click()


def colours(browser):
    """The colour of each symbol, (symbols, 3) from 0 to 1; that of the panel where it has none."""
    found = browser.execute_script("""
        const none = getComputedStyle(document.getElementById("look-text")).backgroundColor;
        return [...document.getElementById("look-text").children].map(cell => {
          const own = getComputedStyle(cell).backgroundColor;
          return own === "rgba(0, 0, 0, 0)" ? none : own; });""")
    return np.array([rgb(colour) for colour in found])


def rgb(colour):
    numbers = [float(n) for n in re.findall(r"[\d.]+(?:e-?\d+)?", colour.replace("srgb", ""))][:3]
    return np.array(numbers) / (1 if "srgb" in colour else 255)


def variable(browser, name):
    code = browser.execute_script(
        "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])",
        f"--{name}").strip().lstrip("#")
    code = "".join(2 * c for c in code) if len(code) == 3 else code
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def mixed(browser, parts, low="look-low", high="look-high"):
    """Colours of numbers from -1 to 1: the panel's at 0."""
    panel, low, high = (variable(browser, name) for name in ("panel", low, high))
    parts = np.asarray(parts)[:, None]
    return panel + np.where(parts < 0, -parts * (low - panel), parts * (high - panel))


def expected_parts(values, name):
    return 2 * values - 1 if name in "ifo" else values / abs(values).max()


@pytest.mark.parametrize("dark", (False, True))
def test_colours_are_the_values_that_python_computes(shown, browser, dark):
    model = made()
    layers = activations(model, TEXT).layers
    look(browser, dark=dark)
    shown(model, unit="0:2")
    press(browser, "ARROW_LEFT")
    for layer, name, unit, keys in (
            (0, "h", 1, ()), (0, "h", 2, ["ARROW_RIGHT"]), (0, "c", 2, ["ARROW_DOWN"]),
            (0, "i", 2, ["ARROW_DOWN"]), (0, "h", 1, ["ARROW_UP", "ARROW_UP", "ARROW_LEFT"]),
            (1, "g", 0, ["ARROW_UP", "ARROW_LEFT"]), (1, "g", 6, ["ARROW_LEFT"])):
        press(browser, *keys)
        values = layers[layer][name][:, unit]
        title = browser.find_element("css selector", "#look-legend b").text
        assert title == f"{layer}:{name}:{unit}"
        np.testing.assert_allclose(
            colours(browser), mixed(browser, expected_parts(values, name)), atol=0.006)
    assert not console(browser)


def test_slider_number_and_list_choose_the_unit(shown, browser):
    from selenium.webdriver import Keys
    from selenium.webdriver.support.select import Select
    model = made("gru", num_layers=1)
    shown(model, unit="0:3")
    legend = browser.find_element("css selector", "#look-legend")
    slider = browser.find_element("id", "look-slider")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert legend.text.startswith("0:h:4 output:")
    slider.send_keys(Keys.ARROW_DOWN)
    assert legend.text.startswith("0:r:4 reset gate: 0")
    field = browser.find_element("id", "look-unit")
    field.send_keys(Keys.BACKSPACE, "6")
    assert legend.text.startswith("0:r:6")
    field.send_keys(Keys.BACKSPACE, "7")  # there is none
    assert legend.text.startswith("0:r:6")
    Select(browser.find_element("id", "look-series")).select_by_visible_text("z, update gate")
    assert legend.text.startswith("0:z:6")
    values = activations(model, TEXT).layers[0]["z"][:, 6]
    np.testing.assert_allclose(colours(browser), mixed(browser, 2 * values - 1), atol=0.006)
    assert not console(browser)


def hovered(browser, position):
    """What the panel says while the pointer is on a symbol."""
    from selenium.webdriver import ActionChains
    cell = browser.find_elements("css selector", "#look-text > span")[position]
    ActionChains(browser).move_to_element(cell).perform()
    return browser.find_element("id", "look-panel").text


def test_surprisal_and_the_likeliest_symbols(shown, browser):
    model = made()
    found = activations(model, TEXT)
    bits = found.surprisal[:-1] / np.log(2)
    shown(model, unit="1:c:4")
    for position in (5, 40):
        said = hovered(browser, position)
        p = found.probabilities[position - 1]
        assert f"position {position}" in said and f"surprisal {bits[position - 1]:.2f} bits" in said
        value = browser.find_element("css selector", ".look-value").text.replace("−", "-")
        assert float(value) == pytest.approx(found.layers[1]["c"][position, 4], abs=0.01)
        listed = browser.find_elements("css selector", ".look-likely li")
        best = np.argsort(-p)[:5]
        names = [{" ": "␣", "\n": "↵"}.get(s, s) for s in
                 (model.vocabulary.symbols[i] for i in best)]
        assert [item.find_element("css selector", "b").text for item in listed] == names
        written = [item.find_element("css selector", "i").text.split()[0] for item in listed]
        np.testing.assert_allclose([float(w) for w in written], 100 * p[best], rtol=0.06)
    assert "nothing predicts the first symbol" in hovered(browser, 0)
    choose(browser, "surprisal")
    parts = np.append(0, np.minimum(bits / np.log2(len(model.vocabulary)), 1))
    expected = mixed(browser, parts, high="look-more")
    np.testing.assert_allclose(colours(browser), expected, atol=0.003)
    assert not console(browser)


def test_gradients_of_the_symbol_that_is_held(shown, browser):
    model = made()
    norms = reach(model, activations(model, TEXT))
    shown(model)
    choose(browser, "gradient")
    for position in (20, 60):
        browser.find_elements("css selector", "#look-text > span")[position].click()
        own = norms[position - 1][:position]  # it is predicted at the step before
        parts = np.zeros(len(TEXT))
        parts[position - 1 - np.arange(len(own))] = np.maximum(0, 1 + np.log10(own / own.max()) / 3)
        expected = mixed(browser, parts, high="look-more")
        np.testing.assert_allclose(colours(browser), expected, atol=0.02)
    for back in (1, 7):
        said = hovered(browser, 60 - back)
        assert f"{back} on:" in said
        shown_norm = browser.find_element("css selector", ".look-norm").text
        assert float(shown_norm) == pytest.approx(own[back - 1], rel=0.15)
    press(browser, "ARROW_RIGHT", shift=True)
    held = browser.execute_script("return [...document.querySelectorAll('#look-text > span')]"
                                  ".findIndex(c => c.classList.contains('look-at'))")
    assert held == 61 and browser.execute_script(
        "return document.querySelectorAll('#look-chart polyline').length") == 2
    assert not console(browser)


def test_a_gradient_that_vanishes_is_not_drawn_as_if_it_were_there(shown, browser):
    """It loses more than ten decades in 50 steps."""
    model = made("rnn", num_layers=1)
    model.params["layer0.Wh"][:] *= 0.2
    norms = reach(model, activations(model, TEXT))
    last = int((norms[59] > norms[np.isfinite(norms)].max() * 1e-10).sum())
    assert 5 < last < 45
    shown(model)
    choose(browser, "gradient")
    browser.find_elements("css selector", "#look-text > span")[60].click()
    curve = browser.find_elements("css selector", "#look-chart polyline")[1]
    assert abs(len(curve.get_attribute("points").split()) - last) <= 1
    hovered(browser, 60 - 48)
    assert browser.find_element("css selector", ".look-norm").text.startswith("below ")
    hovered(browser, 59)
    text = browser.find_element("css selector", ".look-norm").text
    assert float(text) == pytest.approx(norms[59, 0], rel=0.2)


def test_a_button_of_the_list_shows_its_unit(shown, browser):
    text = TEXT * 2
    model = made("rnn", num_layers=1, text=text)
    shown(model, text)
    button = browser.find_elements("css selector", "[data-unit]")[4]
    layer, name, unit = button.get_attribute("data-unit").split(":")
    browser.execute_script("arguments[0].click()", button)
    legend = browser.find_element("css selector", "#look-legend")
    assert legend.text.startswith(f"{layer}:{name}:{unit} output:")
    best = correlations(activations(model, text), model.vocabulary)
    place = abs(best.r[:, int(unit)]).argmax()
    assert f"Most like: {[*best.features][place]}, r" in legend.text
    values = activations(model, text).layers[0]["h"][:, int(unit)]
    np.testing.assert_allclose(colours(browser), mixed(browser, expected_parts(values, "h")),
                               atol=0.006)
    row = button.find_element("xpath", "./ancestor::tr").text
    r = float(button.text.split()[1].replace("−", "-"))
    assert -1 <= r <= 1 and row


HOSTILE = ("<script>document.title='x'</script><img src=x onerror=alert(1)>&lt;'\"\\ "
           "\x1b[31m\x00\x07\u202eabc\u202c\u2066x\u2069 \u0639\u0631\u0628\u064a "
           "\u05d0\u05d1\u05d2 e\u0301\u0301 \U0001f469\u200d\U0001f52c\ufe0f </script> ]]> "
           "\u2028\ud83d \u00a0\t|\r\n")


def test_hostile_text_is_shown_symbol_by_symbol(shown, browser):
    model = made("gru", num_layers=1, text=HOSTILE)
    title = shown(model, HOSTILE).title
    assert title == "What a GRU of 7 units does while it reads"
    cells = browser.execute_script(
        "return [...document.getElementById('look-text').children].map(c => [c.textContent, "
        "c.getBoundingClientRect().left, c.getBoundingClientRect().top])")
    assert len(cells) == len(HOSTILE)
    codes = {c: f"\\x{ord(c):02x}" for c in "\x1b\x00\x07\r\u00a0"} | {
        c: f"\\u{ord(c):04x}" for c in "\u202e\u202c\u2066\u2069\u200d\ufe0f\u2028\ud83d"} | {
        "\u0301": "◌\u0301", "\n": "↵\n"}
    assert [text for text, *_ in cells] == [codes.get(c, c) for c in HOSTILE]
    for (_, left, top), (_, right, below) in zip(cells, cells[1:], strict=False):
        assert right > left or below > top + 5  # in the order in which the model reads
    for position in range(0, len(HOSTILE), 3):
        hovered(browser, position)
    assert not browser.execute_script("return document.querySelectorAll('img').length")
    assert browser.title == title and not console(browser)


def test_a_phone_is_wide_enough(shown, browser):
    model = made(text=TEXT * 2)
    look(browser, width=390, height=800)
    shown(model, TEXT * 2)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    browser.find_elements("css selector", "#look-text > span")[3].click()
    panel = browser.find_element("id", "look-panel")
    assert "position 3" in panel.text and browser.execute_script(
        "return arguments[0].getBoundingClientRect().bottom <= innerHeight + 1", panel)
    assert not console(browser)


def test_a_record_with_its_label(shown, browser):
    corpus = fastrnn.Corpus.from_records(["anna", "bram"], labels=["x", "y"])
    model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=3, labels=["x", "y"], seed=1)
    shown(model, "anna", label="y")
    text = browser.find_element("id", "look-text").text
    assert text == "⟨start⟩anna⟨stop⟩"
    assert "predicted, but not read" in hovered(browser, 5)
    found = activations(model, "anna", "y")
    bits = found.surprisal[-1] / np.log(2)
    assert f"surprisal {bits:.2f} bits" in hovered(browser, 5)
    assert "5 symbols are too few" in browser.page_source


@pytest.mark.parametrize("unit, text, shown_as", [
    ("byte", "a é\n", ["a", " ", r"\xc3", r"\xa9", "↵\n"]),
    ("word", "to be  or<b>", ["to", "be", "(empty)", "or<b>"])])
def test_bytes_and_words(shown, browser, unit, text, shown_as):
    model = made("rnn", num_layers=1, text=text, unit=unit)
    shown(model, text)
    assert browser.execute_script("return [...document.getElementById('look-text').children]"
                                  ".map(c => c.textContent)") == shown_as
    assert f"{len(shown_as)} {unit}s" in browser.page_source


@pytest.mark.parametrize("cell", ("esn", "memory", "relu", "mgu"))
def test_other_cells(shown, browser, cell):
    model = made(cell, num_layers=1)
    shown(model)
    press(browser, "ARROW_DOWN", "ARROW_RIGHT")
    gradient = browser.find_element("css selector", "[value=gradient]")
    assert gradient.is_displayed() == (cell != "esn")
    assert ("no gradient" in browser.page_source.lower()) == (cell == "esn")
    assert not console(browser)


def test_one_symbol(shown, browser):
    shown(made("rnn", num_layers=1), "H")
    assert "position 0" in browser.find_element("id", "look-panel").text and not console(browser)


def data_in(page):
    return json.loads(re.search(r'id="look-data">(.*?)</script>', page)[1])


def test_a_long_text_is_cut_and_the_page_says_so(tmp_path):
    text = TEXT * 40
    model = made("gru", num_layers=1, text=text)
    path = tmp_path / "a.html"
    fastrnn.look(model, text, path)
    page = path.read_text("utf-8")
    assert f"The first 2,000 of {len(text):,} characters" in page and data_in(page)["read"] == 2000
    assert data_in(page)["ids"] == model.vocabulary.encode(text)[:2000].tolist()
    r = correlations(activations(model, text[:4000]), model.vocabulary, 2000)
    for row in r.best():
        layer, name, unit = row.units[0]
        signed = [f"{value:+.2f}".replace("-", "−") for value in (row.r[0], row.after[0])]
        assert f"{layer}:{name}:{unit} &ensp;{signed[0]} ({signed[1]})</button>" in page
    for unit, (feature, value, after) in enumerate(data_in(page)["follows"]["0:h"]):
        assert abs(value) == pytest.approx(abs(r.r[:, unit]).max(), abs=1e-3)
        assert [value, after] == pytest.approx([r.r[feature, unit], r.after[feature, unit]],
                                               abs=1e-3)
    fastrnn.look(model, fastrnn.Corpus.from_text(text, vocabulary=model.vocabulary), path,
                 length=150)
    assert data_in(path.read_text("utf-8"))["read"] == 150


@pytest.mark.parametrize("H", (256, 700))
def test_the_page_is_below_three_megabytes(tmp_path, H):
    """With values that compress badly; of 256 units 2,000 symbols, of more units fewer."""
    text = "".join(np.random.default_rng(1).choice([*"abcdefghij (\".\n"], 2300))
    model = made("lstm", num_layers=1, text=text, H=H)
    model.block[:] = np.random.default_rng(0).normal(0, 0.07, model.block.size)
    path = tmp_path / "a.html"
    fastrnn.look(model, text, path)
    assert path.stat().st_size < 3e6
    data = data_in(path.read_text("utf-8"))
    assert data["read"] == (2000 if H == 256 else 3_200_000 // (6 * H)) and data["levels"] >= 15


def test_a_reading_is_what_the_page_has(tmp_path):
    model = made()
    part = read(model, TEXT, unit="1:f:2").html()
    fastrnn.look(model, TEXT, tmp_path / "a.html", unit="1:f:2")
    assert part in (tmp_path / "a.html").read_text("utf-8")
    assert "1:f:2 is in layer 1 the forget gate f of unit 2" in part
    assert "look-text" in document("t", part, style=STYLE)


@pytest.mark.parametrize("settings, message", [
    ({"unit": "2:0"}, "a layer from 0 to 1"), ({"unit": "0:7"}, "a unit from 0 to 6"),
    ({"unit": "0:r:1"}, "value of h, c, i, f, o, g"), ({"unit": "c"}, "LAYER:UNIT"),
    ({"unit": "0:-1"}, "LAYER:UNIT"), ({"length": 0}, "at least 1"), ({"label": "x"}, "label out"),
    ({"lenght": 3}, "length")])  # codespell:ignore
def test_settings_that_are_refused(tmp_path, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fastrnn.look(made(), TEXT, tmp_path / "a.html", **settings)
    assert not os.listdir(tmp_path)


def test_what_cannot_be_read_is_refused(tmp_path):
    model, path = made(), tmp_path / "a.html"
    for text, message in (("", "empty"), ("ж", "'ж'"), (b"a", "must be a str")):
        with pytest.raises((ValueError, TypeError), match=message):
            fastrnn.look(model, text, path)
    numbers = fastrnn.Model(fastrnn.Sizes(input_size=2, output_size=1), cell="rnn", hidden_size=3)
    with pytest.raises(ValueError, match="Model.predict and gradient_norms"):
        fastrnn.look(numbers, "ab", path)
    model.block[:3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fastrnn.look(model, TEXT, path)
    assert not os.listdir(tmp_path)
    path.write_text("mine")
    with pytest.raises(OSError, match="did not write it"):
        fastrnn.look(made(), TEXT, path)
    assert path.read_text() == "mine"


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made().save("m.safetensors")
    (tmp_path / "t.txt").write_text(TEXT)
    assert main(["look", "m.safetensors", "t.txt", "-o", "a.html", "--unit", "1:2"]) == 0
    said = capsys.readouterr()
    assert "a.html" in said.out and not said.err
    assert data_in((tmp_path / "a.html").read_text("utf-8"))["start"][:2] == [6, 2]
    assert main(["look", "m.safetensors", "--text", "He said", "-o", "a.html"]) == 0
    assert data_in((tmp_path / "a.html").read_text("utf-8"))["read"] == 7
    before = (tmp_path / "a.html").read_bytes()
    capsys.readouterr()
    for arguments, message in (
            (["t.txt", "-o", "a.html", "--unit", "9:2"], "--unit must be LAYER"),
            (["t.txt", "-o", "a.html", "--length", "0"], "--length must be"),
            (["t.txt", "-o", "a.pdf"], "written as .html"), (["-o", "a.html"], "give FILE"),
            (["none.txt", "-o", "a.html"], "no file 'none.txt'"),
            (["t.txt", "--text", "x", "-o", "a.html"], "give FILE"),
            (["--text", "zz", "-o", "a.html"], "'z' at position 0")):
        assert main(["look", "m.safetensors", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert (tmp_path / "a.html").read_bytes() == before
    assert sorted(os.listdir()) == ["a.html", "m.safetensors", "t.txt"]


def test_the_command_for_records(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = fastrnn.Corpus.from_records(["anna", "bram"], labels=["x", "y"])
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=3, labels=["x", "y"], seed=1)
    model.save("m.safetensors")
    (tmp_path / "t.txt").write_text("anna\n")
    assert main(["look", "m.safetensors", "--text", "anna", "--label", "x=1,y=3", "-o",
                 "a.html"]) == 0
    assert data_in((tmp_path / "a.html").read_text("utf-8"))["read"] == 5
    for arguments, message in ((["t.txt"], "one at a time: give it with --text"),
                               (["--text", "anna"], "needs a label"),
                               (["--text", "anna", "--label", "z"], "never came in training")):
        assert main(["look", "m.safetensors", *arguments, "-o", "b.html"]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "b.html").exists()


def _assert_the_panel_is_printed_in_its_place(browser):
    """On A4 paper, whose lines are as short as a small screen's, it covers no heading."""
    position = "return getComputedStyle(document.getElementById('look-panel')).position"
    assert browser.execute_script(position) == "sticky"
    look(browser, width=650)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.execute_script(position) == "static"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        look(browser)


def test_the_part_of_a_report(browser, tmp_path):
    """Below the start of the validation text the list of units; in Markdown the list alone."""
    text = "".join(np.random.default_rng(2).choice(
        ["the cat ", '"sat" ', "on (it)\n", "<b> and ", "ran.\n"], 1500))
    corpus = fastrnn.Corpus.from_text(text)
    model = fastrnn.train(corpus, preset="classic", cell="lstm", hidden_size=9, updates=40,
                          valid_fraction=0.2, progress=False)
    look(browser)
    model.report(tmp_path / "r.html", corpus)
    open_page(browser, tmp_path / "r.html")
    ready(browser)
    held = text[-len(text) // 5 :]
    shown = browser.execute_script("return [...document.getElementById('look-text').children]"
                                   ".map(c => c.textContent.replace('↵', '')).join('')")
    assert len(shown) == 1000 and shown in held
    press(browser, "ARROW_DOWN")
    layer, name, unit = browser.find_element("css selector", "#look-legend b").text.split(":")
    at = corpus.vocabulary.encode(shown)
    values = activations(model, fastrnn.Corpus(at, corpus.vocabulary)).layers[0][name][:, int(unit)]
    np.testing.assert_allclose(colours(browser), mixed(browser, expected_parts(values, name)),
                               atol=0.006)
    assert not console(browser)
    _assert_the_panel_is_printed_in_its_place(browser)
    rows = [row.text.split()[0] for row in
            browser.find_elements("css selector", ".look-units tbody tr")]
    model.report(tmp_path / "r.md", corpus)
    part = (tmp_path / "r.md").read_text("utf-8").split("## What its units do")[1].split("\n## ")[0]
    table = [line.split()[1] for line in part.splitlines() if line.startswith("| ")][1:]
    unit = re.search(r"\b0:[hc]:\d+", part)[0]  # the example is a unit of this model
    assert f"{unit} is in layer 0 the {unit[2]} of unit {unit[4:]}." in " ".join(part.split())
    assert table == rows and len(rows) > 5 and "look-data" not in part and "chance" in part

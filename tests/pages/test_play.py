"""A model in a page: the same probabilities and texts as Python's, whatever its symbols are."""
import json
import os
import re
import time
import unicodedata
import zlib

import numpy as np
import pytest
from browsing import console, look, open_page
from networks import EVERY_KIND, cell_of

import fastrnn
from fastrnn import html
from fastrnn.cli import main
from fastrnn.data.vocabulary import SPLITTERS, Vocabulary
from fastrnn.insight.activations import activations
from fastrnn.pages import weights

TEXT = "abc äöü\n cab, bac\u0301!"
NAMES = ["anna", "béa", "cyr", "dora ea"]
LABELS = ("Chile", "Côte d'Ivoire", "Iran")
# what a model reads: its vocabulary, the text that is read, and the label
SOURCES = {
    "text": (Vocabulary.from_text(TEXT), TEXT * 3, None),
    "words": (Vocabulary.from_text("one two  three\nfour five", "word"), "Two three  FOUR one",
              None),
    "bytes": (Vocabulary.from_text("aß€😀 b", "byte"), "b😀ßa€€", None),
    "records": (fastrnn.Corpus.from_records(NAMES).vocabulary, "adorn", None),
    "labels": (fastrnn.Corpus.from_records(NAMES).vocabulary, "dora ea", {"Iran": 1, "Chile": 3}),
}


def random_model(source="text", kind="lstm", dtype="float32", H=7, spread=0.5, **settings):
    """Random weights, also those of biases, and a random state; hidden units that have no bound do
    not grow."""
    vocabulary, _, label = SOURCES.get(source, (source, "", None))
    if label is not None:
        settings["labels"] = LABELS
    if kind == "esn":
        settings |= {"density": 0.4, "leak_rate": 0.7}
    model = fastrnn.Model(vocabulary, **cell_of(kind), hidden_size=H, dtype=dtype, **settings)
    rng = np.random.default_rng(zlib.crc32(kind.encode()))
    model.block[:] = rng.normal(0, spread / (2 if kind in ("relu", "memory") else 1),
                                model.block.size)
    for name, p in model.params.items():
        if name.endswith(".Wm"):
            p -= model.params[name.replace("Wm", "Wh")].T / 2
    if model.text_vocabulary.stop is None:
        model.state[:] = rng.normal(0, 0.5, model.state.shape)
    return model


@pytest.fixture
def play(browser, tmp_path):
    """Exports a model and opens its page, in a wide window with light colours."""
    def opened(model, **settings):
        path = tmp_path / "page.html"
        fastrnn.export(model, path, **settings)
        look(browser)
        return open_page(browser, path)

    yield opened
    assert console(browser) == []


def of_page(page, text, label=None):
    """The probabilities that the page computes, (symbols, K)."""
    weights = None
    if label is not None:
        weights = [label.get(name, 0) / sum(label.values()) for name in LABELS]
    return np.array(page.execute_script("return probabilities(network, vocabulary, ...arguments)",
                                        text, weights))


# ---- the same numbers ----

@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("embedding_size", [None, 3])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_probabilities_are_pythons(play, kind, num_layers, embedding_size, source):
    if kind == "esn" and (num_layers > 1 or embedding_size or source == "labels"):
        pytest.skip("an esn has one layer, one-hot inputs and no labels")
    model = random_model(source, kind, num_layers=num_layers, embedding_size=embedding_size)
    _, text, label = SOURCES[source]
    found = of_page(play(model), text, label)
    expected = activations(model, text, label)  # NumPy in float64
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-5, rtol=0)
    known = expected.targets >= 0
    surprisal = -np.log(found[known, expected.targets[known]])  # the kernels in float32
    np.testing.assert_allclose(surprisal, model.surprisal(text, label), atol=1e-4)
    # a text that does not depend on what was read would pass too
    assert np.ptp(found, axis=0).max() > 0.005


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_weights_of_other_precisions(play, dtype):
    model = random_model(dtype=dtype, num_layers=2)
    np.testing.assert_allclose(of_page(play(model), TEXT), activations(model, TEXT).probabilities,
                               atol=1e-5, rtol=0)


def test_a_reservoir_with_a_bias_and_a_leak_rate_for_each_unit(play):
    model = random_model(kind="esn", H=30)
    rng = np.random.default_rng(1)
    reservoir = model.reservoir
    model.reservoir = type(reservoir)(
        reservoir.W, reservoir.Win, rng.normal(size=30).astype(np.float32), reservoir.Wfb,
        rng.uniform(0.1, 1, 30).astype(np.float32))
    np.testing.assert_allclose(of_page(play(model), TEXT), activations(model, TEXT).probabilities,
                               atol=1e-5, rtol=0)


# ---- int8 ----

def by_hand(W):
    """A matrix rounded to 255 levels in each column."""
    W = W.astype(np.float32)
    out = np.zeros_like(W)
    for j in range(W.shape[1]):
        scale = np.float32(np.abs(W[:, j]).max() / 127)
        out[:, j] = np.round(W[:, j] / scale) * scale
    return out


def rounded_by_hand(model):
    other = model.in_float64()
    for p in other.params.values():
        if p.ndim == 2:
            p[:] = by_hand(p)
    if model.reservoir is not None:
        of = other.reservoir
        other.reservoir = type(of)(of.W, by_hand(of.Win.T).T.astype(np.float64), of.b, of.Wfb,
                                   of.leak_rate)
    other.state[:] = model.state
    return other


@pytest.mark.parametrize(("kind", "source"), [("lstm", "labels"), ("gru", "text"), ("esn", "text")])
def test_int8_computes_with_rounded_weights(play, kind, source):
    model = random_model(source, kind, embedding_size=None if kind == "esn" else 3)
    _, text, label = SOURCES[source]
    found = of_page(play(model, dtype="int8"), text, label)
    expected = activations(rounded_by_hand(model), text, label).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    exact = activations(model, text, label).probabilities
    assert 1e-4 < np.abs(found - exact).max() < 0.05  # it is rounded


@pytest.mark.parametrize(("kind", "source"), [("lstm", "labels"), ("gru", "text"), ("esn", "text"),
                                              ("rnn", "records"), ("mgu", "bytes"),
                                              ("mlstm", "labels")])
def test_what_int8_changes_is_what_is_stated(kind, source, tmp_path):
    model = random_model(source, kind)
    stated = fastrnn.export(model, tmp_path / "a.html", dtype="int8")
    ids, inside, _, labels = weights._sampled(model.in_float64(), model, 0)
    vocabulary, twin = model.vocabulary, rounded_by_hand(model)
    change, before, after = 0.0, [], []
    for row in range(ids.shape[1]):
        count = int(inside[:, row].sum())
        if vocabulary.stop is None:
            text, label = fastrnn.Corpus(ids[:count + 1, row], vocabulary), None
        else:
            text = vocabulary.decode(ids[1:count + 1, row]).rstrip("\x03")
            label = LABELS[row % 3] if labels is not None else None
        p, q = (activations(each, text, label).probabilities[:count] for each in (model, twin))
        change = max(change, np.abs(p - q).max())
        at = np.arange(count), ids[1 : count + 1, row]
        before += [*-np.log(p[at])]
        after += [*-np.log(q[at])]
    assert stated.predictions == len(before) > 400
    np.testing.assert_allclose((stated.probability, stated.before, stated.after),
                               (change, np.mean(before), np.mean(after)), rtol=1e-6)
    page = (tmp_path / "a.html").read_text()
    assert f"{stated.before:.4f} to {stated.after:.4f} nats" in page
    assert f"{stated.probability:.2g} at most" in page


# ---- sampling ----

def uniforms_by_hand(seed, n):
    """xoshiro128** in Python's whole numbers, seeded by splitmix32: two calls for one number."""
    M = 2**32 - 1

    def rotated(x, k):
        return (x << k | x >> (32 - k)) & M

    s = []
    for i in range(1, 5):
        t = (seed + i * 0x9E3779B9) & M
        t = (t ^ t >> 16) * 0x21F0AAAD & M
        t = (t ^ t >> 15) * 0x735A2D97 & M
        s.append(t ^ t >> 15)

    def following():
        result = rotated(s[1] * 5 & M, 7) * 9 & M
        t = s[1] << 9 & M
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotated(s[3], 11)
        return result

    return [((following() >> 5) * 2**26 + (following() >> 6)) / 2**53 for _ in range(n)]


@pytest.mark.parametrize("seed", [0, 1, 4294967295])
def test_random_numbers(play, seed):
    page = play(random_model())
    found = page.execute_script("const random = randomNumbers(arguments[0]);"
                                "return Array.from({length: 50}, random)", seed)
    assert found == uniforms_by_hand(seed, 50)


SCORES = [0.3, -1.0, 2.0, 0.3, 0.3, 1.5, -0.2]


@pytest.mark.parametrize(("temperature", "top_k", "barred", "kept"), [
    (1, 0, [], range(7)), (0.5, 0, [2], (0, 1, 3, 4, 5, 6)), (1.7, 3, [], (0, 2, 5)),
    (1, 4, [5], (0, 2, 3, 4)), (1, 1, [], (2,)), (0, 0, [], (2,)), (0, 5, [2], (5,)),
    (1e-9, 0, [], (2,)), (2, 7, [], range(7)), (2, 100, [], range(7))])
def test_symbols_are_sampled_by_their_probabilities(play, temperature, top_k, barred, kept):
    """Against NumPy: among equals at the edge of top-k the first stay."""
    n = 20_000
    found = play(random_model()).execute_script(
        "const [scores, temperature, topK, barred, n] = arguments, random = randomNumbers(3);"
        "return Array.from({length: n}, () => choose(Float64Array.from(scores), "
        "{temperature, topK}, new Set(barred), random))", SCORES, temperature, top_k, barred, n)
    kept = list(kept)
    if len(kept) == 1:
        assert set(found) == set(kept)
        return
    p = np.zeros(7)
    p[kept] = np.exp(np.array(SCORES)[kept] / temperature)
    p /= p.sum()
    counts = np.bincount(found, minlength=7)
    assert not counts[p == 0].any()
    errors = (counts - n * p)[kept] / np.sqrt(n * p * (1 - p))[kept]
    assert np.abs(errors).max() < 4


def test_a_text_without_a_prime_begins_as_lines_do(play):
    model = random_model()
    model.starts = np.zeros(len(model.vocabulary))
    model.starts[[2, 5]] = 3, 1
    first = ("const found = [];for (let seed = 0; seed < 2000; seed++) {"
             "const writer = new Writer(network, vocabulary, DATA.starts, {prime: '', labels: null,"
             "temperature: 1, topK: 0, random: randomNumbers(seed)});writer.next();"
             "found.push(writer.last)} return found")
    found = np.bincount(play(model).execute_script(first), minlength=len(model.vocabulary))
    assert found[2] + found[5] == 2000 and abs(found[2] - 1500) < 4 * np.sqrt(2000 * 3 / 16)
    model.starts[:] = 0  # no line begins: each as often
    counts = np.bincount(play(model).execute_script(first), minlength=len(model.vocabulary))
    assert counts.min() > 0.6 * counts.mean()


def test_a_record_is_not_empty_and_has_no_start_symbol(play):
    model = random_model("records", spread=0)
    start, stop = map(model.vocabulary.symbols.index, (model.vocabulary.start,
                                                       model.vocabulary.stop))
    model.params["head.b"][[start, stop]] = 3  # 90 % of the probability
    found = play(model).execute_script(
        "const writer = new Writer(network, vocabulary, DATA.starts, {prime: '', labels: null,"
        "temperature: 1, topK: 0, random: randomNumbers(2)}), found = [];"
        "for (let i = 0; i < 300; i++) { writer.begin(); const ids = [];"
        "while (!writer.ended) { writer.next(); ids.push(writer.last) } found.push(ids) }"
        "return found")
    assert all(len(ids) > 1 and ids[-1] == stop and start not in ids for ids in found)
    p = np.exp(3) / (np.exp(3) + len(model.vocabulary) - 2)  # of the stop symbol, later
    length = np.mean([len(ids) for ids in found]) - 1
    assert length == pytest.approx(1 / p, abs=4 * np.sqrt((1 - p) / p**2 / 300))


# ---- symbols ----

CODES = "const [vocabulary, text] = [new Vocabulary(arguments[0]), arguments[1]];"


@pytest.mark.parametrize("split", ["blank", "space", "mark"])
@pytest.mark.parametrize("lower", [True, False])
def test_words_are_cut_as_python_cuts_them(play, split, lower):
    page = play(random_model())
    rng = np.random.default_rng(0)
    letters = list("aBΣσİ'\u0301\u00ad. \t\n\r\x0b\x1c\x85\xa0\u2003\u3000\u180e\ufeff_9²Ⅷ字😀\x00")
    for _ in range(30):
        text = "".join(rng.choice(letters, rng.integers(0, 80)))
        words = Vocabulary.from_text(text + " x", "word", split=split, lower=lower)
        vocabulary = Vocabulary([*words.symbols, "<unk>"], "word", split=split, lower=lower,
                                unknown="<unk>")
        found, decoded = page.execute_script(
            CODES + "const ids = vocabulary.encode(text), d = vocabulary.decoder();"
            "return [ids, ids.map(d.push).join('') + d.end()]", vocabulary.to_dict(), text)
        ids = vocabulary.encode(text)
        assert found == ids.tolist() and len(vocabulary) - 1 not in found
        assert decoded == vocabulary.decode(ids)


def test_every_character_is_a_letter_a_mark_or_a_blank_as_in_python(play):
    """Between x: where it joins the word it is a letter, where it vanishes a blank. Characters that
    came into Unicode since Python's version are left out, the browser's may be newer."""
    page = play(random_model())
    known = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs")]
    for start in range(0, len(known), 40_000):
        part = known[start : start + 40_000]
        found = page.execute_script("return Array.from(arguments[0], "
                                    "c => SPLITTERS.mark('x' + c + 'x').length)", "".join(part))
        expected = [len(SPLITTERS["mark"][1](f"x{c}x")) for c in part]
        different = [c for c, a, b in zip(part, found, expected, strict=True) if a != b]
        assert not different, [hex(ord(c)) for c in different]


def test_bytes_are_read_as_python_reads_them(play):
    page = play(random_model())
    vocabulary = Vocabulary(range(256), "byte")
    rng = np.random.default_rng(0)
    good = np.frombuffer("aß€😀\ufeffz".encode(), np.uint8)
    for size in range(60):
        ids = [int(i) for i in np.where(rng.random(size) < 0.2, rng.integers(0, 256, size),
                                        np.tile(good, 5)[:size])]
        if size % 2:  # whole characters among what is broken
            ids = [*map(int, good), *ids, *map(int, good)]
        found = page.execute_script(
            CODES + "const d = vocabulary.decoder(); return text.map(d.push).join('') + d.end()",
            vocabulary.to_dict(), ids)
        assert found == vocabulary.decode(ids)


def test_symbols_that_the_model_does_not_know_are_named(play):
    page = play(random_model())
    page.find_element("id", "prime").send_keys("ab<c>€")
    page.find_element("id", "write").click()
    assert page.find_element("id", "status").text == (
        "The model cannot read <, >, €: take them out of the text to begin with.")
    assert page.find_element("id", "text").text == ""


# ---- the page as people use it ----

def wait_for(page, end, seconds=20):
    until = time.monotonic() + seconds
    while not page.find_element("id", "status").text.endswith(end):
        assert time.monotonic() < until, page.find_element("id", "status").text
        time.sleep(0.02)


def shown(page):
    return page.execute_script("return document.getElementById('text').textContent")


@pytest.mark.parametrize("kind", ["lstm", "gru", "esn"])
@pytest.mark.parametrize("source", SOURCES)
def test_greedy_text_by_keyboard_is_pythons(play, source, kind):
    """From the text to begin with through all fields to the button, by the Tab key alone."""
    if kind == "esn" and source == "labels":
        pytest.skip("an esn has no labels")
    from selenium.webdriver.common.keys import Keys

    model = random_model(source, kind, H=20, spread=0.8)
    prime = {"text": "cab,", "words": "two", "bytes": "aß"}.get(source, "a")
    page = play(model)
    page.find_element("id", "prime").send_keys(prime)
    keys = {"temperature": [Keys.HOME], "length": [Keys.CONTROL + "a", "70"], "label": ["I"],
            "count": [Keys.CONTROL + "a", "2"], "speed": ["a"], "seed": ["17"]}
    visited = []
    while not visited or visited[-1] != "write":
        page.switch_to.active_element.send_keys(Keys.TAB)
        visited.append(page.switch_to.active_element.get_attribute("id"))
        for each in keys.get(visited[-1], []):
            page.switch_to.active_element.send_keys(each)
    assert len(set(visited)) == len(visited)
    page.switch_to.active_element.send_keys(Keys.SPACE)
    wait_for(page, "seed 17")
    label = {} if source != "labels" else {"label": "Iran"}
    expected = model.sample(70, prime=prime, temperature=0, echo=True, **label)
    assert len(expected) > 3
    if model.vocabulary.stop is not None:
        expected = f"{expected}\n{expected}"
    ends = "\ufffd" if source == "bytes" else ""  # half a character, which more may complete
    assert shown(page) == html.plain(expected.removesuffix(ends))


def test_a_mixture_of_labels(play):
    model = random_model("labels", H=20)
    page = play(model)
    page.execute_script("speed.value = '0'; temperature.value = '0'; count.value = '1';"
                        "label.value = 'mixture'; label.dispatchEvent(new Event('change'))")
    fields = page.find_elements("css selector", "#mixture input")
    assert [field.is_displayed() for field in fields] == [True] * 3
    for field, weight in zip(fields, ("3", "0", "1.5"), strict=True):
        field.clear()
        field.send_keys(weight)
    page.find_element("id", "write").click()
    wait_for(page, page.execute_script("return `seed ${seed}`"))
    label = {"Chile": 2, "Iran": 1}
    assert shown(page) == html.plain(model.sample(500, temperature=0, label=label))
    for field in fields:
        field.clear()
        field.send_keys("0")
    page.find_element("id", "write").click()
    assert "needs a weight above 0" in page.find_element("id", "status").text


def test_stop_and_more(play):
    from selenium.webdriver.common.keys import Keys

    page = play(random_model(H=20))
    stop, more = (page.find_element("id", name) for name in ("stop", "more"))
    page.find_element("id", "prime").send_keys("a", Keys.CONTROL + Keys.ENTER)
    assert stop.is_enabled()
    while len(shown(page)) < 10:  # at 40 a second
        time.sleep(0.02)
    page.switch_to.active_element.send_keys(Keys.ESCAPE)
    part = shown(page)
    assert not stop.is_enabled() and 10 <= len(part) < 300
    time.sleep(0.2)
    assert shown(page) == part
    page.execute_script("speed.value = '0'; document.getElementById('length').value = 50")
    more.click()
    wait_for(page, page.execute_script("return `seed ${seed}`"))
    assert shown(page).startswith(part) and len(shown(page)) == len(part) + 50
    for speed in ("40", "8"):  # from fast to slow it goes on at once
        page.execute_script("speed.value = arguments[0];"
                            "speed.dispatchEvent(new Event('change'))", speed)
        if speed == "40":
            more.click()
        before = len(shown(page))
        until = time.monotonic() + 1
        while len(shown(page)) < before + 3:
            assert time.monotonic() < until
            time.sleep(0.02)
    stop.click()
    assert not stop.is_enabled()


def test_more_ends_the_record_that_was_stopped(play):
    model = random_model("records", H=20)
    stop_id = model.vocabulary.symbols.index(model.vocabulary.stop)
    model.params["head.b"][stop_id] = -50  # records end by their length alone
    page = play(model)
    page.execute_script("speed.value = '40'; document.getElementById('length').value = 30;"
                        "document.getElementById('count').value = 3;"
                        "document.getElementById('seed').value = 1")
    page.find_element("id", "write").click()
    while len(shown(page)) < 5:
        time.sleep(0.02)
    page.find_element("id", "stop").click()
    assert 5 <= len(shown(page)) < 30
    page.execute_script("speed.value = '0'; document.getElementById('count').value = 2")
    page.find_element("id", "more").click()
    wait_for(page, "seed 1")
    assert [len(record) for record in shown(page).split("\n")] == [30, 30, 30]


def test_the_same_seed_writes_the_same_text(play):
    page = play(random_model("labels", H=20))
    texts = []
    for seed in ("5", "5", "6"):
        page.execute_script("speed.value = '0'; document.getElementById('seed').value = "
                            "arguments[0]", seed)
        page.find_element("id", "write").click()
        wait_for(page, f"seed {seed}")
        texts.append(shown(page))
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].count("\n") >= 9


def test_hidden_units_are_drawn_and_named(play):
    from selenium.webdriver.common.keys import Keys

    model = random_model(num_layers=2, H=12)
    page = play(model)
    page.execute_script("speed.value = '0'; document.getElementById('length').value = 1;"
                        "document.getElementById('prime').value = 'abc'; temperature.value = 0")
    page.find_element("id", "write").click()
    wait_for(page, page.execute_script("return `seed ${seed}`"))
    canvases = page.find_elements("css selector", "canvas")
    h = [layer["h"][-1] for layer in activations(model, "abc").layers]
    assert len(canvases) == 2
    for canvas, values in zip(canvases, h, strict=True):
        canvas.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)  # the first unit, the one below it
        columns = page.execute_script("return GRIDS[0].columns")
        caption = page.execute_script("return arguments[0].nextSibling.textContent", canvas)
        value = f"{values[columns]:.3f}".replace("-", "\N{MINUS SIGN}")
        assert caption.endswith(f"12 units; unit {columns + 1} is {value}")
        levels, line = page.execute_script(
            "const [canvas] = arguments, {cell, columns} = GRIDS[0], {width, height} = canvas;"
            "const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);"
            "const alpha = data.filter((_, i) => i % 4 == 3);"  # of the first row of units
            "const clear = alpha.slice(cell / 2 * width, (cell / 2 + 1) * width).filter(a => !a);"
            "return [Array.from({length: 12}, (_, j) => { const "
            "x = (j % columns) * cell + cell / 2, y = Math.floor(j / columns) * cell + cell / 2,"
            "at = 4 * (Math.floor(y) * width + Math.floor(x));"
            "return Array.from(data.slice(at, at + 4)) }),"
            "clear.length / columns * canvas.clientWidth / width]", canvas)
        assert line >= 1  # pixels between units, so that none is lost
        light = np.array(levels)[:, :3] @ [0.2126, 0.7152, 0.0722]
        assert (np.argsort(light) == np.argsort(values)).all()  # lighter where higher, in grey too
    p = activations(model, "abc").probabilities[-1]
    rows = page.find_elements("css selector", "#next li")
    assert [row.text.split("\n")[-1].split()[-2] for row in rows] == [
        f"{100 * each:.1f}" for each in np.sort(p)[: -6 : -1]]
    assert "chosen" in rows[0].get_attribute("class")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(play, browser, dark):
    page = play(random_model("labels"), title="A " + "long" * 40)
    look(browser, width=390, height=844, dark=dark)
    page.execute_script("label.value = 'mixture'; label.dispatchEvent(new Event('change'))")
    page.find_element("id", "write").click()
    assert page.execute_script("return document.documentElement.scrollWidth") == 390
    for name in ("write", "more", "stop", "prime", "speed"):
        box = page.find_element("id", name).rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["height"] >= 30


# ---- symbols and names of strangers ----

EVIL = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
HOSTILE = "</script>\"'\\&`${}\x00\x1b\x07\x9b\u202e\u2066\u2028\ufeff\u200b\n\t😀e\u0301שלום مرحبا"


@pytest.mark.parametrize("unit", ["char", "word", "byte"])
def test_hostile_symbols_are_shown_and_never_run(play, unit):
    if unit == "word":
        words = [*EVIL.split(), *HOSTILE.split(), "</script>", "<!--", "]]>", "__proto__",
                 "constructor", ""]
        vocabulary = Vocabulary(sorted(set(words)), "word", lower=False)
    else:
        vocabulary = Vocabulary.from_text(HOSTILE + EVIL, unit)
    model = fastrnn.Model(vocabulary, cell="lstm", hidden_size=20, labels=[EVIL, HOSTILE])
    model.block[:] = np.random.default_rng(0).normal(0, 0.6, model.block.size)
    prime = EVIL if unit != "word" else "</script> <!-- ]]>"
    page = play(model, title=EVIL + HOSTILE)
    assert page.find_element("css selector", "h1").text.startswith("</script><script>window")
    assert [option.text for option in page.find_elements("css selector", "#label option")][:2] == [
        " ".join(html.plain(label).split()) for label in (EVIL, HOSTILE)]
    page.execute_script("speed.value = '0'; temperature.value = '0'; label.value = '1';"
                        "document.getElementById('length').value = 100;"
                        "document.getElementById('prime').value = arguments[0]", prime)
    page.find_element("id", "write").click()
    wait_for(page, page.execute_script("return `seed ${seed}`"))
    expected = html.plain(model.sample(100, prime=prime, temperature=0, echo=True, label=HOSTILE))
    assert shown(page).rstrip("\ufffd") == expected.rstrip("\ufffd")
    page.execute_script("temperature.value = 2; document.getElementById('length').value = 6000")
    page.find_element("id", "write").click()
    wait_for(page, page.execute_script("return `seed ${seed}`"))
    for symbol in vocabulary.symbols:  # each comes, written out where it would be obeyed
        symbol = symbol if unit != "byte" else bytes([symbol]).decode(errors="replace")
        assert html.plain(symbol) in shown(page)
    np.testing.assert_allclose(
        np.array(page.execute_script("return probabilities(network, vocabulary, arguments[0], "
                                     "[0.5, 0.5])", prime)),
        activations(model, prime, {EVIL: 1, HOSTILE: 1}).probabilities, atol=1e-5, rtol=0)
    assert page.execute_script("return window.hurt") is None
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_lone_surrogates_and_every_symbol_come_back_from_the_page(play):
    symbols = [*map(chr, range(0x100)), "\ud800", "\udfff", "\ufffe", "\U0010ffff", "\u2029"]
    page = play(random_model(Vocabulary(symbols)))
    found = page.execute_script("return JSON.stringify(vocabulary.symbols)")
    assert json.loads(found) == symbols


# ---- size and speed ----

def test_an_lstm_of_128_units_is_small_and_fast(play, tmp_path):
    symbols = [chr(0x100 + i) for i in range(65)]
    page = play(fastrnn.Model(Vocabulary(symbols), cell="lstm", hidden_size=128))
    assert os.path.getsize(tmp_path / "page.html") < 1_500_000
    rates = [page.execute_script(
        "const writer = new Writer(network, vocabulary, DATA.starts, {prime: '', labels: null,"
        "temperature: 1, topK: 5, random: randomNumbers(1)}), began = performance.now();"
        "for (let i = 0; i < 1000; i++) writer.next();"
        "return 1e6 / (performance.now() - began)") for _ in range(3)]
    assert max(rates) > 1000  # symbols a second


# ---- what cannot be ----

def test_a_page_has_a_title_and_says_what_is_in_it(tmp_path):
    model = random_model()
    assert fastrnn.export(model, tmp_path / "a.HTM") is None
    text = (tmp_path / "a.HTM").read_text()
    assert "<title>a</title>" in text and f"{model.block.size:,}" in text
    count = len(set(TEXT))
    assert f"LSTM, 7 hidden units. It writes {count} different characters." in text
    fastrnn.export(model, tmp_path / "a.HTM", title="Other")  # over an earlier page
    assert "<title>Other</title>" in (tmp_path / "a.HTM").read_text()


BAD = {
    "sequences": (lambda: fastrnn.Model(fastrnn.Sizes(input_size=2, output_size=1)), "a.html", {},
                  "made for sequences: it can predict"),
    "not finite": (lambda: random_model(spread=np.inf), "a.html", {}, "not finite"),
    "ending": (random_model, "a.pdf", {}, r"a\.pdf': the end of the name says the format"),
    "no ending": (random_model, "a", {}, "the end of the name says the format"),
    "dtype": (random_model, "a.html", {"dtype": "int4"}, "dtype must be one of 'float32', 'int8'"),
    "title": (random_model, "a.html", {"title": 3}, "title must be a text"),
    "setting": (random_model, "a.html", {"titel": "a"}, "did you mean 'title'"),  # codespell:ignore
    "folder": (random_model, "no/a.html", {}, "directory that exists"),
    "other file": (random_model, "other.html", {}, "fastrnn did not write it"),
    "directory": (random_model, "d.html", {}, "is a directory"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_leaves_nothing_behind(tmp_path, case):
    (tmp_path / "other.html").write_text("<!DOCTYPE html><p>mine</p>")
    (tmp_path / "d.html").mkdir()
    make, name, settings, message = BAD[case]
    with np.errstate(invalid="ignore"):
        model = make()
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        fastrnn.export(model, tmp_path / name, **settings)
    assert sorted(os.listdir(tmp_path)) == ["d.html", "other.html"]
    assert (tmp_path / "other.html").read_text() == "<!DOCTYPE html><p>mine</p>"


def test_another_file_is_replaced_where_that_is_asked_for(tmp_path):
    (tmp_path / "a.html").write_text("mine")
    fastrnn.export(random_model(), tmp_path / "a.html", overwrite=True)
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")


# ---- the command ----

@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "book.safetensors"
    random_model().save(path)
    return path


def test_the_command(checkpoint, tmp_path, capsys):
    path = tmp_path / "play.html"
    assert main(["export", str(checkpoint), "-o", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{os.path.getsize(path):,} bytes" in said and "int8" not in said
    assert "<title>book</title>" in path.read_text()
    assert main(["export", str(checkpoint), "--output", str(path), "--dtype", "int8",
                 "--title", "A & B"]) == 0
    stated = fastrnn.export(fastrnn.load(checkpoint), tmp_path / "b.html", dtype="int8")
    said = " ".join(capsys.readouterr().out.split())
    assert stated.in_words("char") in said and "2,000 chars that the model itself" in said
    assert "<title>A &amp; B</title>" in path.read_text()
    assert main(["export", str(checkpoint), str(path), "--dtype", "float32"]) == 0
    assert main(["export", str(checkpoint)]) == 2
    assert "give the file to write once" in capsys.readouterr().err


@pytest.mark.parametrize(("what", "message"), [
    ("damaged", "damaged|cut short"), ("text", "is a text, not a trained model"),
    ("missing", "no file"), ("reservoir", "holds an echo state network"),
    ("exists", "fastrnn did not write it: .*--overwrite"), ("ending", "the end of the name says")])
def test_a_command_that_fails_writes_nothing(checkpoint, tmp_path, capsys, what, message):
    output = tmp_path / ("play.pdf" if what == "ending" else "play.html")
    if what == "damaged":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    elif what == "text":
        checkpoint.write_text("to be or not to be")
    elif what == "missing":
        checkpoint.unlink()
    elif what == "reservoir":
        x = np.sin(np.arange(300.0))[:, None]
        fastrnn.EchoStateNetwork(20).fit(x[:-1], x[1:]).save(checkpoint, overwrite=True)
    elif what == "exists":
        output.write_text("mine")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert main(["export", str(checkpoint), "-o", str(output)]) == 2
    said = capsys.readouterr()
    assert re.search(f"^fastrnn: error: .*{message}", said.err) and said.err.count("\n") == 1
    assert not said.out
    assert before == {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}

"""Symbols that are printed one by one, and shaded by their surprisal."""
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from terminals import COMMAND, ENVIRONMENT, OBEYED, Terminal, escaped, in_files, on_terminals

import fastrnn
from fastrnn.cli import flags, shades

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")

SHADED = re.compile("\x1b\\[38;5;(\\d+);48;5;(\\d+)m([^\x1b]*)\x1b\\[0m|([^\x1b])", re.DOTALL)
LINES = "the cat sat on the mat\nwhile rain fell; nobody ran — ça va, 木!\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of characters, words, bytes, records and records with labels, trained a little."""
    here = tmp_path_factory.mktemp("models")
    how = {"preset": "classic", "hidden_size": 16, "updates": 60, "progress": False}
    for unit in ("char", "word", "byte"):
        corpus = fastrnn.Corpus.from_text(20 * LINES, unit)
        fastrnn.train(corpus, checkpoint=here / f"{unit}.safetensors", **how)
    names = ["anna", "bob", "carla", "dörte"] * 5
    fastrnn.train(fastrnn.Corpus.from_records(names), checkpoint=here / "records.safetensors",
                  **how)
    fastrnn.train(fastrnn.Corpus.from_records(names, labels=[*"xyxy"] * 5),
                  checkpoint=here / "labels.safetensors", **how)
    return here


def taken_apart(out):
    """The text of what was printed, and the background of each of its characters, None without."""
    text, backgrounds = "", []
    for found in SHADED.finditer(out):
        part = found[4] or found[3]
        text, backgrounds = text + part, backgrounds + [found[2] and int(found[2])] * len(part)
    assert re.sub("\x1b\\[[\\d;]*m", "", out) == text
    return text, backgrounds


def shade_of(bits):
    """The background of a symbol, written without the package's code."""
    for least, background in ((8, 124), (4, 202), (2, 179), (1, 187)):
        if bits >= least:
            return background
    return None


# ---- one by one ----

@pytest.mark.parametrize("command", [
    ("char",), ("word",), ("byte",), ("records",), ("labels", "--label", "x"),
    ("char", "--n", 3), ("word", "--n", 2), ("records", "--n", 7),
    ("labels", "--label", "x=1,y=2", "--n", 4), ("char", "--prime", "the "),
    ("word", "--prime", "the cat", "--no-echo"), ("char", "--stop", "at")])
def test_a_stream_is_the_sample(models, command):
    command = ["sample", models / f"{command[0]}.safetensors", "--seed", 7, "--length", 90,
               *command[1:]]
    sampled, streamed = in_files(*command), in_files(*command, "--stream")
    assert sampled[::2] == streamed[::2] == (0, "")
    assert streamed[1] == sampled[1] and len(sampled[1]) > 3
    assert on_terminals(*command, "--stream")[1] == sampled[1]



@pytest.mark.parametrize("color", [[], ["--color"]])
def test_ctrl_c_ends_the_line(models, color):
    terminal = Terminal()
    run = subprocess.Popen([*COMMAND, "sample", str(models / "char.safetensors"), "--stream",
                            "--length", "1000000000", *color], stdout=terminal.end,
                           stderr=subprocess.PIPE, env=ENVIRONMENT | {"TERM": "xterm"})
    while len(terminal.text) < 3000 and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130
    assert run.stderr.read() == b""
    shown = terminal.close()
    assert shown.endswith("\n") and taken_apart(shown)  # no colour is left on
    run.stderr.close()


def test_a_reader_that_has_left(models):
    done = subprocess.run(["bash", "-c", '"$@" | head -c 50', "bash", *COMMAND, "sample",
                           str(models / "char.safetensors"), "--stream", "--color", "always",
                           "--length", "1000000000"], capture_output=True, env=ENVIRONMENT,
                          timeout=60)
    assert (done.returncode, done.stderr, len(done.stdout)) == (0, b"", 50)


# ---- colours ----

@pytest.mark.parametrize(("name", "prime"), [("char", "the c"), ("word", "the cat")])
@pytest.mark.parametrize("how", [(), ("--stream",), ("--temperature", 0.5, "--top-k", 4)])
def test_shades_are_the_surprisal(models, name, prime, how):
    path = models / f"{name}.safetensors"
    code, out, err = in_files("sample", path, "--seed", 7, "--length", 90, "--prime", prime,
                              "--color", "always", *how)
    assert (code, err) == (0, "")
    legend, _, shaded = out.partition("\n")
    text, backgrounds = taken_apart(shaded)
    settings = {"temperature": 0.5, "top_k": 4} if "--top-k" in how else {}
    model = fastrnn.load(path)
    assert text == model.sample(90, prime=prime, seed=7, echo=True, **settings) + "\n"
    bits = model.surprisal(text[:-1]) / np.log(2)
    if name == "word":  # each with the blank before it
        assert all(abs(bits - edge).min() > 1e-3 for edge in (1, 2, 4, 8))
        blanks = [found.start() for found in re.finditer(" ", text)][1:]
        shown = [backgrounds[at] for at in (blanks[0] + 1, *blanks[1:])]
        assert len(shown) == 90
        assert shown == [shade_of(each) for each in bits[1:]]
    else:
        assert backgrounds[: len(prime)] == [None] * len(prime)
        assert backgrounds[len(prime) : -1] == [
            None if char == "\n" else shade_of(each)
            for char, each in zip(text[len(prime) : -1], bits[len(prime) - 1 :], strict=True)]
    assert len({*backgrounds}) >= (2 if name == "word" else 3 if "--top-k" in how else 5)
    assert taken_apart(legend)[0].startswith(f"bits per {name} (-log2 p at temperature 1): ")


def test_the_legend_says_what_is_done():
    text, backgrounds = taken_apart(shades.legend("byte"))
    assert text == "bits per char (-log2 p at temperature 1):  0-1   1-2   2-4   4-8   8+ "
    for low, name in ((0, "0-1"), (1, "1-2"), (2, "2-4"), (4, "4-8"), (8, "8+")):
        background = backgrounds[text.index(f" {name} ") + 1]
        for bits in (low + 1e-9, low + 0.9, 1e9 if low == 8 else max(1, 2 * low) - 1e-9):
            assert taken_apart(shades.shaded("x", bits * np.log(2))) == ("x", [background]), bits
            assert background == shade_of(bits)


def luminance(color):
    """Of one of the 216 colours of the cube of xterm, as WCAG 2 defines it."""
    parts = [(0 if level == 0 else 55 + 40 * level) / 255
             for level in ((color - 16) // 36, (color - 16) // 6 % 6, (color - 16) % 6)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_shades_are_readable_and_told_apart_without_colour():
    def contrast(a, b):
        return (max(a, b) + 0.05) / (min(a, b) + 0.05)

    backgrounds = [luminance(background) for background, _ in shades.SHADES]
    for background, (_, text) in zip(backgrounds, shades.SHADES, strict=True):
        assert contrast(background, luminance(text)) >= 4.5  # as WCAG asks of text
        assert min(contrast(background, end) for end in (luminance(231), luminance(16))) > 1.3
    assert all(contrast(a, b) > 1.3 and a > b
               for a, b in zip(backgrounds, backgrounds[1:], strict=False))


@pytest.mark.parametrize(("flag", "environment", "terminal", "colored"), [
    ([], {}, True, False), (["--color"], {}, True, True), (["--color"], {}, False, False),
    (["--color", "auto"], {"NO_COLOR": "1"}, True, False), (["--color"], {"NO_COLOR": ""}, True,
                                                            True),
    (["--color"], {"TERM": "dumb"}, True, False), (["--color=never"], {}, True, False),
    (["--color=always"], {"NO_COLOR": "1"}, False, True)])
def test_when_there_are_colours(models, flag, environment, terminal, colored):
    before = {"TERM": "xterm-256color"} | environment
    command = ["sample", *flag, str(models / "char.safetensors"), "--seed", "1"]
    if terminal:
        screen = Terminal()
        assert subprocess.run([*COMMAND, *command], stdout=screen.end, env=ENVIRONMENT | before
                              ).returncode == 0
        out = screen.close()
    else:
        out = subprocess.run([*COMMAND, *command], capture_output=True,
                             env=ENVIRONMENT | before).stdout.decode()
    assert ("\x1b[" in out) == colored
    plain = fastrnn.load(models / "char.safetensors").sample(200, seed=1) + "\n"
    assert (taken_apart(out)[0].partition("\n")[2] if colored else out) == plain


def test_bare_color_takes_no_model_for_its_value():
    for given, spelled in (
            (["sample", "--color", "m"], ["sample", "--color=auto", "m"]),
            (["--color"], ["--color=auto"]), (["--color", "never", "m"], ["--color", "never", "m"]),
            (["-color", "--stream"], ["--color=auto", "--stream"]),
            (["--color=always", "m"], ["--color=always", "m"])):
        assert flags.with_hyphens(given) == spelled


def test_control_characters_are_shown_before_colours_are_added(tmp_path):
    text = "a\x1b]0;owned\x07b\x9b31m\r\nc\u202ed\re\n"
    path = tmp_path / "m.safetensors"
    with pytest.warns(UserWarning, match="control characters"):
        fastrnn.train(fastrnn.Corpus.from_text(30 * text), preset="classic", updates=400,
                      hidden_size=30, progress=False, checkpoint=path)
    model = fastrnn.load(path)
    sampled = model.sample(300, seed=1, temperature=1.5)
    assert OBEYED.search(sampled) and "\r\n" in sampled
    for run in (on_terminals, in_files):  # what is coloured is meant for a terminal
        code, out, err = run("sample", path, "--length", 300, "--seed", 1, "--temperature", 1.5,
                             "--color", "always")
        assert (code, err) == (0, "")
        shown = taken_apart(out)[0].partition("\n")[2]
        assert not OBEYED.search(shown.replace("\r\n", "\n")) and r"\x1b]0;owned\x07" in shown
        assert shown.startswith(escaped(sampled))


def test_a_carriage_return_has_its_own_shade_unless_it_ends_a_line(capsys):
    bits = {"a": 0, "\r": 3, "\n": 9, "b": 5}
    for text, shown in (("a\ra", r"a\x0da"), ("\r\rb\r\n", "\\x0d\\x0db\r\n"), ("a\r", "a\r")):
        shades.show_symbols([(char, bits[char] * np.log(2)) for char in text], True)
        out, backgrounds = taken_apart(capsys.readouterr().out)
        assert out == shown + "\n"
        assert backgrounds == [{"a": None, "b": 202, "\r": None, "\n": None}.get(char, 179)
                               for char in out]


def test_a_wide_text_on_a_terminal_that_cannot_write_it(models):
    done = subprocess.run([*COMMAND, "sample", str(models / "char.safetensors"), "--stream",
                           "--length", "2000"], capture_output=True,
                          env=ENVIRONMENT | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"") and b"?" in done.stdout


@pytest.mark.parametrize("flag", ["--stream", "--color=always"])
def test_new_only_is_for_whole_texts(models, flag):
    code, out, err = in_files("sample", models / "records.safetensors", "--new-only", flag)
    assert (code, out) == (2, "") and "leave out --stream and --color" in err


# ---- score ----

def test_a_scored_text_is_shown(models, tmp_path):
    text = LINES + "on rain; ça!\n"
    (tmp_path / "t.txt").write_text(text)
    model = fastrnn.load(models / "char.safetensors")
    code, out, err = in_files("score", models / "char.safetensors", tmp_path / "t.txt", "--color",
                              "always")
    assert (code, err) == (0, "")
    shown, backgrounds = taken_apart(out.partition("\n")[2])
    assert shown.startswith(text + "\n\ndata       t.txt: ")
    bits = model.surprisal(text) / np.log(2)
    assert backgrounds[: len(text)] == [None, *(
        None if char == "\n" else shade_of(each)
        for char, each in zip(text[1:], bits, strict=True))]
    plain = in_files("score", models / "char.safetensors", tmp_path / "t.txt")[1]
    assert out.endswith(plain) and "\x1b" not in plain


def test_scored_records_are_shown(models, tmp_path):
    names = ["bob", "anna", "dörte", "carla"]
    (tmp_path / "names.tsv").write_text("".join(f"{name}\ty\n" for name in names))
    model = fastrnn.load(models / "labels.safetensors")
    code, out, err = in_files("score", models / "labels.safetensors", "--table",
                              tmp_path / "names.tsv", "--color", "always")
    assert (code, err) == (0, "")
    lines = out.splitlines()[1:5]
    for name, line in zip(names, lines, strict=True):
        bits = model.surprisal(name, "y")[:-1] / np.log(2)
        assert taken_apart(line) == (name, [shade_of(each) for each in bits])

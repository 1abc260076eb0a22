"""Going on with lines that a person, or a program, types."""
import contextlib
import fcntl
import io
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest
from terminals import COMMAND, ENVIRONMENT, OBEYED

import fastrnn
from fastrnn import cli

LINES = "the cat sat on the mat\nwhile rain fell; nobody ran — ça va!\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of characters, words, bytes, records, records with labels, and numbers."""
    here = tmp_path_factory.mktemp("models")
    how = {"preset": "classic", "hidden_size": 24, "updates": 400, "progress": False}
    for unit in ("char", "word", "byte"):
        corpus = fastrnn.Corpus.from_text(20 * LINES, unit)
        fastrnn.train(corpus, checkpoint=here / f"{unit}.safetensors", **how)
    names = ["anna", "bob", "carla", "dörte"] * 5
    fastrnn.train(fastrnn.Corpus.from_records(names), checkpoint=here / "records.safetensors",
                  **how)
    fastrnn.train(fastrnn.Corpus.from_records(names, labels=[*"xyxy"] * 5),
                  checkpoint=here / "labels.safetensors", **how)
    numbers = fastrnn.Sequences(np.zeros((3, 4, 2)), np.zeros((3, 4, 1)))
    fastrnn.Model(numbers.sizes, hidden_size=3).save(here / "numbers.safetensors")
    # never a line end, so that an answer has no end of its own
    endless = fastrnn.Model(fastrnn.Vocabulary("ab\n"), hidden_size=3, seed=1)
    endless.params["head.b"][:] = 0, 0, -99
    endless.params["head.b"][endless.vocabulary.symbols.index("\n")] = -99
    endless.save(here / "endless.safetensors")
    return here


def piped(models, name, lines, *arguments):
    """Exit code, standard output and standard error of a chat that reads lines from a pipe."""
    octets = lines if isinstance(lines, bytes) else lines.encode()
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(octets), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(["chat", str(models / f"{name}.safetensors"), *map(str, arguments)])
    finally:
        sys.stdin = before
    return code, out.getvalue(), err.getvalue()


def greedy(model, prime, length=200):
    return model.sample(length, prime=prime, temperature=0)


def one_line(text):
    """A text up to the end of its first line that is not empty."""
    return re.match("\n*([^\n]*)", text)[1], len(re.match("\n*[^\n]*\n?", text)[0])


# ---- lines from a program ----

@pytest.mark.parametrize("name", ["char", "byte"])
def test_each_line_is_answered_up_to_a_line_end(models, name):
    model = fastrnn.load(models / f"{name}.safetensors")
    code, out, err = piped(models, name, "the c\n\nnobo\n\n", "--temperature", 0)
    assert (code, err) == (0, "")
    text, answers = "", []
    for line in ("the c", "", "nobo", ""):
        text += line
        answer, count = one_line(greedy(model, text))
        answers.append(answer)
        text += greedy(model, text)[:count]
    assert out == "".join(f"{answer}\n" for answer in answers) and "sat on" in out


def test_what_was_broken_off_is_followed_by_a_line_end_before_the_next_line(models):
    model = fastrnn.load(models / "char.safetensors")
    code, out, _ = piped(models, "char", "the c\nnob\n\n", "--temperature", 0, "--length", 5)
    first = greedy(model, "the c", 5)
    second = greedy(model, f"the c{first}\nnob", 5)
    third = greedy(model, f"the c{first}\nnob{second}", 5)  # of an empty line: from where it was
    assert "\n" not in first + second + third
    assert (code, out) == (0, f"{first}\n{second}\n{third}\n")


def test_line_end(models):
    model = fastrnn.load(models / "char.safetensors")
    answer = one_line(greedy(model, "the cat\n"))[0]
    assert answer != one_line(greedy(model, "the cat"))[0]
    assert piped(models, "char", "the cat\n", "--temperature", 0, "--line-end")[1] == f"{answer}\n"
    assert piped(models, "char", "/line-end on\nthe cat\n", "--temperature", 0)[1] == (
        f"/line-end on\n{answer}\n")


def test_words(models):
    model = fastrnn.load(models / "word.safetensors")
    code, out, err = piped(models, "word", "The cat\nrain fell;\n", "--temperature", 0)
    first = greedy(model, "the cat", 40)
    second = greedy(model, f"the cat {first} rain fell;", 40)
    assert (code, out, err) == (0, f"{first}\n{second}\n", "")


def test_records_are_completed_each_by_itself(models):
    model = fastrnn.load(models / "records.safetensors")
    code, out, err = piped(models, "records", "an\nbo\nan\n", "--temperature", 0)
    assert (code, err) == (0, "")
    assert out == "".join(f"{start}{greedy(model, start)}\n" for start in ("an", "bo", "an"))
    code, out, err = piped(models, "records", "\n\n\n", "--seed", 2)
    assert code == 0 and len(out.split()) == 3


def test_labels(models):
    model = fastrnn.load(models / "labels.safetensors")
    code, out, err = piped(models, "labels", "\n/label y\n\n/label x=1,y=3\n\n/label z\n\n",
                           "--label", "x", "--temperature", 0)
    texts = [model.sample(label=label, temperature=0) for label in ("x", "y", {"x": 1, "y": 3})]
    assert out == f"{texts[0]}\n/label y\n{texts[1]}\n/label x=1,y=3\n{texts[2]}\n{texts[2]}\n"
    assert texts[0] != texts[1]
    assert code == 2 and "label 'z' never came in training" in err and err.count("\n") == 1


def test_a_seed_makes_the_same_chat(models):
    lines = "the\n\nrain\n/again\n"
    first = piped(models, "char", lines, "--seed", 3)
    assert first[1] == piped(models, "char", lines, "--seed", 3)[1]
    assert first[1] != piped(models, "char", lines, "--seed", 4)[1]


def test_again_answers_the_same_line_from_the_same_state(models):
    model = fastrnn.load(models / "char.safetensors")
    lines = "the c\nrain\n/again\n/temperature 0\n/again\n/again\n"
    out = piped(models, "char", lines, "--temperature", 2, "--seed", 3)[1].split("\n")
    assert out[1] != out[2] and out[3] == "/temperature 0" and out[4] == out[5]
    out = piped(models, "char", "the c\nrain\n/again\n", "--temperature", 0)[1].split("\n")
    assert out[1] == out[2] == one_line(greedy(model, "the cat sat on the mat\nrain"))[0]


def test_reset_forgets(models):
    lines = "the c\n/reset\nrain\n"
    out = piped(models, "char", lines, "--temperature", 0)[1].split("\n")
    assert out[1] == one_line(greedy(fastrnn.load(models / "char.safetensors"), "rain"))[0]


def test_settings_change_while_it_runs(models):
    model = fastrnn.load(models / "char.safetensors")
    code, out, err = piped(models, "char", "/temp 0\n/length 3\n/top-k 2\n/top_k none\n/top-p\n"
                           "the\n/repetition-penalty 1.25\n/quit\nthe\n")
    assert (code, err) == (0, "")
    assert out == ("/temperature 0\n/length 3\n/top-k 2\n/top-k none\n/top-p none\n"
                   f"{greedy(model, 'the', 3)}\n/repetition-penalty 1.25\n")


@pytest.mark.parametrize(("name", "line", "said"), [
    ("char", "/top-p 3", "/top-p must be above 0 and at most 1, not 3.0"),
    ("char", "/temperature -1", "/temperature must be a finite number of 0 or more, not -1.0"),
    ("char", "/temperature hot", "/temperature must be a number, not 'hot'"),
    ("char", "/length 0", "/length must be a whole number of at least 1, not 0"),
    ("char", "/length 2.5", "/length must be a whole number, not '2.5'"),
    ("char", "/line-end maybe", "/line-end must be on or off, not 'maybe'"),
    ("char", "/nothing", "there is no command /nothing: /help lists them; a text that begins"),
    ("char", "/", "there is no command /: /help lists them"),
    ("char", "/top", "there is no command /top: /top-k, /top-p could be meant"),
    ("char", "/again", "there is no answer yet: type a line first"),
    ("char", "/label x", "there is no command /label"),
    ("word", "/line-end on", "there is no command /line-end"),
    ("char", "the Zoo\x1b: é木Z", r"the model has never read the characters 'Z', '\x1b', ':', "
                                  r"'é', '木': nothing was read"),
    ("word", "the dog ran far", "the model has never read the words 'dog', 'far': nothing"),
    ("byte", "on ñandú", "the model has never read the characters 'ñ', 'ú': nothing"),
    ("char", b"on \xff", r"the model has never read the characters '\udcff'"),
    ("byte", b"on \xff", r"the model has never read the characters '\udcff'"),
    ("records", "x", "the model has never read the characters 'x'")])
def test_one_error_and_nothing_is_lost(models, name, line, said):
    line = line if isinstance(line, bytes) else line.encode()
    start = {"records": b"an", "word": b"the"}.get(name, b"the c")
    _, plain, _ = piped(models, name, start + b"\n", "--temperature", 0)
    code, out, err = piped(models, name, line + b"\n" + start + b"\n", "--temperature", 0)
    assert (code, out) == (2, plain)
    assert err.startswith(f"error: {said}") and err.count("\n") == 1


def test_a_text_that_begins_with_a_slash(models):
    assert "has never read the characters '/'" in piped(models, "char", "//help\n")[2]


def test_help_names_what_can_be_changed(models):
    out = piped(models, "labels", "/help\n", "--label", "x")[1]
    found = re.findall(r"^/([\w-]+)", out, re.M)
    assert found == ["again", "reset", "help", "quit", "length", "label", "temperature", "top-k",
                     "top-p", "min-p", "repetition-penalty"]
    assert "/label x " in out and max(map(len, out.split("\n"))) <= 80


@pytest.mark.parametrize(("name", "flags", "said"), [
    ("numbers", [], "this model was made for sequences, not for a text"),
    ("labels", [], "this model needs a label: 'x', 'y'"),
    ("labels", ["--label", "z"], "label 'z' never came in training"),
    ("char", ["--label", "x"], "--label is not for this model: leave it out"),
    ("word", ["--line-end"], "--line-end is not for this model: leave it out"),
    ("char", ["--top-p", 2], "--top-p must be above 0 and at most 1"),
    ("nowhere", [], "no file ")])
def test_what_is_refused_at_the_start(models, name, flags, said):
    code, out, err = piped(models, name, "the\n", *flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"fastrnn: error: {said}") and err.count("\n") == 1


def test_as_a_program(models):
    done = subprocess.run([*COMMAND, "chat", str(models / "char.safetensors"), "--seed", "1"],
                          input="the c\nça\xff\n".encode("latin-1"), capture_output=True,
                          env=ENVIRONMENT | {"PYTHONUTF8": "1"})
    assert done.returncode == 2 and done.stdout.count(b"\n") == 1
    assert b"error: the model has never read the characters '\\udce7', '\\udcff': " in done.stderr


def test_nothing_to_read(models):
    for redirection in ("</dev/null", "<&-"):
        done = subprocess.run(["bash", "-c", f'"$@" {redirection}', "bash", *COMMAND, "chat",
                               str(models / "char.safetensors")], capture_output=True,
                              env=ENVIRONMENT)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# ---- a person at a terminal ----

class Person:
    """A person at a terminal with a chat; what it shows is in `text`."""

    def __init__(self, models, name, *arguments):
        self.screen, end = os.openpty()
        termios.tcsetwinsize(end, (24, 200))
        self.run = subprocess.Popen(
            [*COMMAND, "chat", str(models / f"{name}.safetensors"), *map(str, arguments)],
            stdin=end, stdout=end, stderr=end, env=ENVIRONMENT | {"TERM": "dumb"},
            start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(end)
        self.text = ""
        threading.Thread(target=self._read, daemon=True).start()
        self.until("> $")

    def _read(self):
        try:
            while part := os.read(self.screen, 65536):
                self.text += part.decode(errors="replace")
        except OSError:
            pass

    def until(self, pattern, since=0):
        end = time.monotonic() + 30
        while not re.search(pattern, self.text[since:]):
            assert time.monotonic() < end and self.run.poll() is None, self.text[-500:]
            time.sleep(0.01)
        return self.text[since:]

    def type(self, text, pattern="\n> $"):
        """Type something, and what comes after it up to a pattern, by default the next prompt."""
        since = len(self.text)
        os.write(self.screen, text.encode())
        return self.until(pattern, since).replace("\r\n", "\n")

    def ends(self):
        code = self.run.wait(30)
        os.close(self.screen)
        return code


@pytest.fixture
def person(models):
    people = []

    def begin(name, *arguments):
        people.append(Person(models, name, *arguments))
        return people[-1]

    yield begin
    for one in people:
        if one.run.poll() is None:
            one.run.kill()
            one.run.wait()


def test_at_a_terminal(models, person):
    one = person("char", "--temperature", 0)
    assert "It does not answer questions." in one.text and "/help lists commands" in one.text
    answer = one_line(greedy(fastrnn.load(models / "char.safetensors"), "the c"))[0]
    assert one.type("the c\n").endswith(f"the c\n{answer}\n> ")
    assert one.type("/temperature 0.5\n").endswith("\n/temperature 0.5\n> ")
    assert "error: the model has never read the characters 'é'" in one.type("é\n")
    assert not OBEYED.search(one.text.replace("\r", ""))
    os.write(one.screen, b"\x04")  # Ctrl-D
    assert one.ends() == 0


def test_the_lines_before_come_back(models, person):
    pytest.importorskip("readline")
    one = person("char", "--temperature", 0)
    before = one.type("the c\n")
    assert "at sat on the mat" in before
    again = one.type("\x10\n")  # Ctrl-P, as the arrow upwards
    assert "the c" in again.split("\n")[0] and one.run.poll() is None
    one.type("/quit\n", "")
    assert one.ends() == 0


def test_ctrl_c_ends_an_answer_and_not_the_program(models, person):
    one = person("endless", "--length", 10**9)
    one.type("ab\n", "[ab]{500}")
    since = len(one.text)
    shown = one.type("\x03", "\n> $")
    assert shown.endswith("\n> ")
    assert one.type("/length 5\n").endswith("/length 5\n> ")
    assert re.search("\n[ab]{5}\n> $", one.type("a\n"))
    assert since > 500 and one.run.poll() is None
    os.write(one.screen, b"\x03")  # where nothing is being written
    assert one.ends() == 130


def test_sigterm_ends_it_while_it_answers(models, person):
    one = person("endless", "--length", 10**9)
    one.type("ab\n", "[ab]{500}")
    one.run.send_signal(signal.SIGTERM)
    assert one.ends() == 128 + signal.SIGTERM


def test_ctrl_c_in_a_script_ends_it(models):
    run = subprocess.Popen([*COMMAND, "chat", str(models / "endless.safetensors"), "--length",
                            str(10**9)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=ENVIRONMENT)
    run.stdin.write(b"ab\n")
    run.stdin.flush()
    assert len(run.stdout.read(1000)) == 1000
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (130, b"")


def test_a_chat_of_a_python_program(models, monkeypatch, capsys):
    """Without a standard input."""
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["chat", str(models / "char.safetensors")]) == 0
    assert capsys.readouterr() == ("", "")

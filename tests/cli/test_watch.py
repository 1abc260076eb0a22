"""`fastrnn watch`: what it draws, beside the numbers of the log."""
import io
import json
import os
import re
import sys

import pytest
from runs import SIZES, corpus_of, train

import fastrnn
from fastrnn import cli
from fastrnn.cli import watch

pytest.importorskip("plotext")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return tmp_path


@pytest.fixture
def call(here, capsys):
    def call(*arguments):
        return cli.main(["watch", *map(str, arguments)]), *capsys.readouterr()
    return call


def made_up(path, losses, *, kind="progress", end=True, **about):
    """A log with these losses, of the updates 100, 200 and so on."""
    events = [{"event": "started", "update": 0, "loss_unit": "nats per char", "unit": "char",
               "planned_updates": 100 * len(losses)} | about]
    events += [{"event": kind, "update": 100 * (i + 1), "loss": loss, "epoch": i / 2,
                "gradient_norm": 7.5, "learning_rate": 0.1, "predictions_per_second": 1234.0,
                "seconds": 9.0} for i, loss in enumerate(losses)]
    events += [{"event": "ended", "update": 100 * len(losses), "stopped": "finished",
                "seconds": 10.0}] * end
    path.write_text("".join(json.dumps(event) + "\n" for event in events))


class Screen(io.StringIO):
    def isatty(self):
        return True


def test_points_stand_where_the_numbers_are(call, here, monkeypatch):
    """Of two runs, whose markers are letters: row and column of each give loss and update back."""
    losses = [4.0, 3.0, 2.5, 2.0, 1.0]
    made_up(here / "one.jsonl", losses)
    made_up(here / "two.jsonl", [1.5] * 5, kind="validation")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "60")
    code, out, err = call("one.jsonl", "two.jsonl")
    assert (code, err) == (0, "")
    lines = [line for line in out.split("\n") if re.match(r"[\d. ]{3}[┤│]", line)]
    rows = [(float(line[:3]), i) for i, line in enumerate(lines) if line[3] == "┤"]
    (top, first), (bottom, last) = rows[0], rows[-1]
    assert (top, bottom) == (4.0, 1.0)
    width = len(lines[0]) - 5
    boxed = next(line.index("┐") for line in lines if "┌" in line)  # the legend
    found = {letter: [(i, j - 4) for i, line in enumerate(lines) for j, c in enumerate(line)
                      if c == letter and (j > boxed or "│" not in line[4:boxed])]
             for letter in "aB"}
    ends = 50.5, 500.0  # a mean stands in the middle of its updates, a validation at its update
    at = {letter: sorted((ends[0] + column / (width - 1) * (ends[1] - ends[0]),
                          top - (row - first) / (last - first) * (top - bottom))
                         for row, column in cells) for letter, cells in found.items()}
    shown = [(100 * i + 50.5, loss) for i, loss in enumerate(losses)]
    assert len(at["a"]) >= 4
    for update, loss in at["a"]:
        assert any(abs(update - u) < 8 and abs(loss - y) < 0.1 for u, y in shown), (update, loss)
    for update, loss in at["B"]:
        assert abs(loss - 1.5) < 0.1 and min(update % 100, 100 - update % 100) < 8


def test_the_words_below_are_those_of_the_log(call, here):
    train(corpus_of(), **SIZES, updates=60, log=here / "run.jsonl", log_every=20,
          valid_fraction=0.1, valid_every=30)
    code, out, err = call("run.jsonl")
    events = fastrnn.read_log(here / "run.jsonl")
    progress = [e for e in events if e["event"] == "progress"][-1]
    valid = [e for e in events if e["event"] == "validation"]
    lowest = min(valid, key=lambda e: e["loss"])
    words = " ".join(out[out.index("run.jsonl: "):].split())
    assert words.startswith("run.jsonl: update 60 of 60, epoch ") and (code, err) == (0, "")
    assert (f"training {progress['loss']:.4g}, mean of 20 updates, "
            f"validation {valid[-1]['loss']:.4g} (lowest "
            f"{lowest['loss']:.4g} after {lowest['update']}) nats per char;") in words
    assert f"gradient norm {progress['gradient_norm']:.3g}" in words
    assert words.endswith("ended: finished")
    assert "loss (nats per char)" in out and "training" in out and "validation" in out
    assert "\x1b" not in out
    assert max(map(len, out.split("\n"))) <= 80


@pytest.mark.parametrize(("columns", "lines"), [(10, 5), (24, 12), (30, 40), (200, 60), (0, 0)])
def test_terminals_of_all_sizes(call, here, monkeypatch, columns, lines):
    made_up(here / "one.jsonl", [4.0, 3.0, 2.5])
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    code, out, err = call("one.jsonl", "--once")
    assert (code, err) == (0, "") and "2.5" in out
    assert max(map(len, out.split("\n"))) <= max(20, columns or 80)


def test_it_follows_a_run_to_its_end(here, monkeypatch):
    """On a terminal; half a line is left for the next look."""
    log, screen, looks = here / "run.jsonl", Screen(), []
    made_up(log, [3.0, 2.0], end=False)
    whole = log.read_text()
    log.write_text(whole[:-20])

    def sleep(_):
        looks.append(screen.getvalue())
        if len(looks) == 2:
            log.write_text(whole)
        elif len(looks) == 4:
            made_up(log, [3.0, 2.0, 1.25])

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["watch", "run.jsonl"]) == 0
    drawn = screen.getvalue().split(watch.FROM_THE_TOP)[1:]
    assert len(looks) == 4 and len(drawn) == 3  # only where there is something new
    assert [re.search(r"update (\d+)", text)[1] for text in drawn] == ["100", "200", "300"]
    assert ["running" in text for text in drawn] == [True, True, False]
    assert looks[0] == looks[1]


def test_it_is_drawn_anew_where_the_terminal_changes(here, monkeypatch):
    screen, sizes = Screen(), iter([(80, 24), (40, 20), (40, 20)])
    made_up(here / "run.jsonl", [3.0, 2.0], end=False)

    def sleep(_):
        size = next(sizes, None)
        if size is None:
            raise KeyboardInterrupt
        monkeypatch.setenv("COLUMNS", str(size[0]))
        monkeypatch.setenv("LINES", str(size[1]))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["watch", "run.jsonl"]) == 130
    drawn = screen.getvalue().split(watch.FROM_THE_TOP)[1:]
    assert [max(map(len, text.split("\n"))) for text in drawn] == [80, 40]


def test_hostile_logs(here, monkeypatch):
    """Nothing of the file reaches the terminal but as text."""
    evil, screen = "\x1b]0;title\x07\x9b31m\u202e", Screen()
    name = "a\x1b[2J\nb.jsonl" if os.name == "posix" else "a.jsonl"
    made_up(here / name, [1e308, float("inf"), float("nan"), True, "3", [1], None, 10**400, -1.0],
            loss_unit=f"nats {evil}", unit=evil, planned_updates=[evil])
    with open(here / name, "a") as file:
        for line in ({"event": evil, "update": 900}, {"event": "progress", "update": 900},
                     {"event": "ended", "update": 900, "stopped": evil, "seconds": evil}):
            file.write(json.dumps(line) + "\n")
    monkeypatch.setattr(sys, "stdout", screen)
    assert cli.main(["watch", name, "--once"]) == 0
    shown = screen.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert r"\x1b" in shown and "ended" in shown


def test_bad_input(call, here):
    made_up(here / "good.jsonl", [3.0])
    made_up(here / "other.jsonl", [3.0], loss_unit="squared error")
    (here / "text.txt").write_text("no log\n")
    (here / "broken.jsonl").write_text((here / "good.jsonl").read_text() + "{}\n")
    (here / "far.jsonl").write_text('{"event": "progress", "update": ' + "9" * 30 + "}\n")
    for arguments, expected in (
            (["none.jsonl"], "no file 'none.jsonl'"), (["text.txt"], "is not a log of fastrnn"),
            ([here], "is not a regular file"), (["good.jsonl", "none.jsonl"], "no file"),
            (["broken.jsonl"], "line 4 of 'broken.jsonl'"), (["far.jsonl"], "line 1"),
            (["good.jsonl", "other.jsonl"], "different units (nats per char, squared error)")):
        code, out, err = call(*arguments)
        assert (code, out) == (2, "") and expected in err and err.count("\n") == 1, arguments


def test_the_command_writes_what_is_watched(call, here, capsys):
    text = "".join("abcdefgh \n"[i * i % 10] for i in range(700))
    (here / "book.txt").write_text(text)
    train = ["train", "book.txt", "--preset", "classic", "--hidden-size", "9", "--updates", "40",
             "--no-progress", "--log", "run.jsonl", "--log-every", "10"]
    assert cli.main([*train, "--checkpoint", "m.safetensors"]) == 0
    progress = [e["update"] for e in fastrnn.read_log("run.jsonl") if e["event"] == "progress"]
    assert progress == [10, 20, 30, 40]
    capsys.readouterr()
    code, out, err = call("run.jsonl")
    assert (code, err) == (0, "") and "update 40 of 40" in out
    for flags, expected in ((["--log", "book.txt"], "give --overwrite to replace it"),
                            (["--log", "."], "is a directory"),
                            (["--log-every", "0"], "--log-every must be")):
        assert cli.main([*train, *flags]) == 2
        said = capsys.readouterr().err
        assert expected in said and said.count("\n") == 1
    assert (here / "book.txt").read_text() == text


def test_without_plotext(call, here, monkeypatch):
    made_up(here / "good.jsonl", [3.0])
    monkeypatch.setitem(sys.modules, "plotext", None)
    code, _, err = call("good.jsonl")
    assert code == 2 and 'pip install "fastrnn[watch]"' in err


def test_a_log_without_updates(call, here):
    (here / "empty.jsonl").touch()
    assert call("empty.jsonl")[:2] == (0, "empty.jsonl: nothing has happened yet\n")
    made_up(here / "start.jsonl", [], end=False)
    assert call("start.jsonl")[:2] == (0, "start.jsonl: update 0 of 0; nan s; running\n")

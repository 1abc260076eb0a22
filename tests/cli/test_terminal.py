"""What reaches a screen: nothing that a terminal obeys; and screens, pipes and devices that cannot
be written to or read from."""
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from forked import program
from terminals import (
    COMMAND,
    ENVIRONMENT,
    OBEYED,
    Terminal,
    escaped,
    in_files,
    in_shell,
    on_terminals,
)

import fastrnn
from fastrnn import cli, screen
from fastrnn.data import texts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and pipes of POSIX")

TITLE = "\x1b]0;owned\x07"  # sets the window's title
CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4K\x07"
EIGHT_BIT = "\x9b31m\x9d0;owned\x9c"  # the same in C1 controls
BIDI = "\u202egnp.exe\u2066"
TEXT = 9 * (f"to be{TITLE} or {CLIPBOARD}not {EIGHT_BIT}to \x7fbe\r\n{BIDI}that\tis\x08 the\r"
            "question\n")
LABELS = [f"A{TITLE}", f"B{CLIPBOARD}"]
SMALL = ["--preset", "classic", "--hidden-size", "9", "--seq-length", "6", "--updates", "40"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A directory with a text and a table whose names, symbols and labels are escape sequences, and
    models of them."""
    here = tmp_path_factory.mktemp("hostile")
    text, table = here / f"book{TITLE}.txt", here / "names.tsv"
    text.write_bytes(TEXT.encode())
    fastrnn.train(text, preset="classic", hidden_size=9, seq_length=6, updates=40, progress=False,
                  checkpoint=here / f"m{CLIPBOARD}.safetensors")
    records = [f"anna{TITLE}", f"bob{CLIPBOARD}", "carl", "dora"]
    table.write_text("".join(f"{name}\t{LABELS[i % 2]}\n" for i, name in enumerate(records)))
    corpus = fastrnn.Corpus.from_table(table)
    assert corpus.labels == tuple(sorted(LABELS))
    fastrnn.train(corpus, preset="classic", hidden_size=9, updates=20, progress=False,
                  checkpoint=here / "names.safetensors")
    return here


# ---- control characters ----

@pytest.mark.parametrize("text, shown", [
    ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
    ("\x00\x08\x0b\x0c\x1f\x7f", r"\x00\x08\x0b\x0c\x1f\x7f"),
    ("\x80\x9b\x9f\xa0é", "\\x80\\x9b\\x9f\xa0é"), ("a\tb\nc\r\nd", "a\tb\nc\r\nd"),
    ("a\rb\r\r\n\r", "a\\x0db\\x0d\r\n\\x0d"),
    ("\u202a\u202e\u2066\u2069", r"\u202a\u202e\u2066\u2069"),
    ("\u2029\u202f\u2065\u206a", "\u2029\u202f\u2065\u206a"), ("\udc9b31m", r"\udc9b31m"),
    ("Noël, 木, שלום, \\x1b", "Noël, 木, שלום, \\x1b")])
def test_a_terminal_gets_visible_characters(text, shown):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    assert screen.safe(text, Screen()) == shown
    assert screen.safe(text, io.StringIO()) == text
    assert screen.safe(text, object()) == text  # a program's own stream


@pytest.mark.parametrize("command", [
    ["info"], ["info", "--toml"], ["sample", "--seed", 3, "--length", 400],
    ["sample", "--seed", 3, "--length", 400, "--stream"],
    ["sample", "--seed", 3, "--length", 200, "--n", 2, "--prime", TITLE[:4]]])
def test_a_hostile_model(hostile, command):
    model = hostile / f"m{CLIPBOARD}.safetensors"
    piped, shown = in_files(*command, model), on_terminals(*command, model)
    assert piped[::2] == shown[::2] == (0, "")
    assert shown[1] == escaped(piped[1]) and not OBEYED.search(shown[1])
    if command == ["info"]:
        assert re.search(f"^text +book{re.escape(TITLE)}.txt$", piped[1], re.M)
        assert r"book\x1b]0;owned\x07.txt" in shown[1]
    elif "--n" not in command and command[0] == "sample":
        text = fastrnn.load(model).sample(400, seed=3) + "\n"
        assert piped[1] == text and OBEYED.search(text) and "\r" in text


def test_a_stream_of_lines_that_end_in_carriage_return_and_line_feed(tmp_path):
    (tmp_path / "dos.txt").write_bytes(b"ab\r\n" * 400)
    model = tmp_path / "dos.safetensors"
    fastrnn.train(tmp_path / "dos.txt", preset="classic", seq_length=7, epochs=20, progress=False,
                  checkpoint=model)
    command = ["sample", model, "--stream", "--temperature", 0, "--prime", "a"]
    assert on_terminals(*command, "--length", 9)[1] == "ab\r\nab\r\nab\n"
    assert on_terminals(*command, "--length", 6)[1] == "ab\r\nab\r\n"  # the line feed is print's
    assert in_files(*command, "--length", 6)[1] == "ab\r\nab\r\n"


def test_hostile_labels(hostile):
    model, table = hostile / "names.safetensors", hostile / "names.tsv"
    for command in (["sample", model, "--n", 5, "--seed", 1, "--label", LABELS[0]], ["info", model],
                    ["score", model, "--table", table]):
        piped, shown = in_files(*command), on_terminals(*command)
        assert piped[::2] == shown[::2] == (0, "")
        assert shown[1] == escaped(piped[1])
    code, out, err = on_terminals("sample", model, "--label", f"C{TITLE}")
    assert (code, out) == (2, "") and r"\x1b]0;owned" in err and not OBEYED.search(err)
    code, out, err = on_terminals("train", "--table", table, "--preset", "classic", "--updates", 12,
                                  "--checkpoint", hostile / "again.safetensors")
    assert code == 0 and r"A\x1b]0;owned\x07: " in out and r"of the trained model, A\x1b]0;" in out
    assert not OBEYED.search(out + err)


def test_training_on_a_hostile_text(hostile):
    """The block before the run, samples, the report, a note, an error, and the bar beside them."""
    text, model = hostile / f"book{TITLE}.txt", hostile / f"n{CLIPBOARD}.safetensors"
    code, out, err = on_terminals("train", text, *SMALL, "--checkpoint", model)
    assert code == 0 and out.count("---- ") == 11
    assert r"book\x1b]0;owned\x07.txt: " in out.split("----")[0]
    assert "\\x1b" in out.split("---- update 36")[1].split("----")[1]
    assert r"n\x1b]52;c;cm0gLXJmIH4K\x07.safetensors" in out.split("trained  ")[1]
    assert "100%|" in err and not OBEYED.search(out + err)
    code, out, err = on_terminals("train", text, "--resume", model)
    assert code == 0 and "fastrnn: note: the run in " in err and not OBEYED.search(out + err)
    for wrong in (["info", f"no{TITLE}"], ["score", model, f"no{TITLE}"], ["train", f"no{TITLE}"],
                  [f"no{TITLE}"], ["train", f"--no{TITLE}"], ["train", "--config", f"no{TITLE}"]):
        code, out, err = on_terminals(*wrong)
        assert (code, out) == (2, "") and "owned" in err and not OBEYED.search(err), wrong


def test_gradcheck_of_a_hostile_file(hostile):
    command = ["gradcheck", hostile / f"m{CLIPBOARD}.safetensors"]
    assert on_terminals(*command)[1] == escaped(in_files(*command)[1])


def test_an_interrupted_run_of_a_hostile_text(hostile):
    text = hostile / f"book{TITLE}.txt"
    out, err = Terminal(), Terminal()
    run = subprocess.Popen([*COMMAND, "train", str(text), *SMALL[:-1], "5000000", "--checkpoint",
                            str(hostile / "long.safetensors")], stdout=out.end, stderr=err.end,
                           env=ENVIRONMENT)
    while "loss" not in err.text and run.poll() is None:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    out, err = out.close(), err.close()
    assert "interrupted after" in err and r"book\x1b]0;owned\x07.txt" in err
    assert not OBEYED.search(out + err)


def test_a_terminal_that_is_closed(hostile):
    """Its program gets SIGHUP, and can write nothing to it any more: the file has all updates."""
    import fcntl
    import termios
    screen, end = os.openpty()
    path = hostile / "closed.safetensors"
    run = subprocess.Popen([*COMMAND, "train", str(hostile / f"book{TITLE}.txt"), *SMALL[:-1],
                            "5000000", "--checkpoint", str(path)], stdin=end, stdout=end,
                           stderr=end, env=ENVIRONMENT, start_new_session=True,
                           preexec_fn=lambda: (signal.signal(signal.SIGHUP, signal.SIG_DFL),
                                               fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
    os.close(end)
    shown = b""
    while b"loss" not in shown:
        shown += os.read(screen, 65536)
    os.close(screen)
    assert run.wait(60) == 128 + signal.SIGHUP
    assert len(fastrnn.load(path).history) > 0


def test_python_calls_show_samples_as_the_command_does(hostile, monkeypatch):
    terminal = Terminal()
    with os.fdopen(os.dup(terminal.end), "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        fastrnn.train(hostile / f"book{TITLE}.txt", preset="classic", updates=5, sample_length=600)
    shown = terminal.close()
    assert r"book\x1b]0;owned\x07.txt: " in shown and "---- update 4, " in shown
    assert not OBEYED.search(shown)


# ---- screens that cannot be written to ----

@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("to be or not to be " * 20)
    return tmp_path


@pytest.fixture
def trained(here):
    fastrnn.train("book.txt", preset="classic", hidden_size=9, seq_length=6, updates=40,
                  progress=False, checkpoint="m.safetensors")
    return "m.safetensors"


@pytest.mark.parametrize(("closed", "command"), [
    (">&-", ["info", "m.safetensors"]), ("2>&-", ["sample", "m.safetensors", "--stream"]),
    (">&- 2>&-", ["--help"]), ("<&- >&- 2>&-", ["sample", "m.safetensors", "--stream"]),
    ("2>/dev/full", ["info", "m.safetensors"])])
def test_closed_streams(trained, closed, command):
    code, out, err = in_shell(closed, *command)
    assert (code, err) == (0, "") and bool(out) == (">&-" not in closed.split())
    code, out, err = in_shell(closed, "info", "nothing")  # nor does the error go to the other one
    assert (code, out) == (2, "")
    assert bool(err) == (closed == ">&-")
    code, out, err = in_shell(closed, "train", "book.txt", *SMALL, "--checkpoint", "t.safetensors")
    assert code == 0 and len(fastrnn.load("t.safetensors").history) == 40
    assert "Traceback" not in out + err and bool(out) == (">&-" not in closed.split())


def test_a_full_screen(trained):
    """One error, exit code 2; a training is done and saved all the same."""
    def forked(*command):
        done = program(None, *command, stdout="/dev/full", environment=ENVIRONMENT)
        return done.returncode, done.stdout, done.stderr

    for command in (["info", trained], ["sample", trained], ["sample", trained, "--n", 3],
                    ["sample", trained, "--stream", "--length", 10**9], ["gradcheck", "--help"],
                    ["presets"],
                    ["score", trained, "book.txt"]):
        in_shells = command[0] == "info" or "--stream" in command
        code, _, err = in_shell("> /dev/full", *command) if in_shells else forked(*command)
        assert code == 2 and re.fullmatch("fastrnn: error: standard output cannot be written .No "
                                          "space left on device.: make room.*\n", err), command
    for more in ([], ["--no-progress"]):
        code, _, err = in_shell("> /dev/full", "train", "book.txt", *SMALL, *more, "--checkpoint",
                                "t.safetensors")
        assert code == 2 and err.count("error") == 1 and "Traceback" not in err
        assert len(fastrnn.load("t.safetensors").history) == 40
        os.unlink("t.safetensors")
    code, out, err = in_shell("> /dev/full 2>&1", "train", "book.txt", *SMALL, "--checkpoint",
                              "t.safetensors")
    assert code == 2 and len(fastrnn.load("t.safetensors").history) == 40


def test_a_program_without_streams(here):
    """As under pythonw."""
    code = ("import sys, fastrnn; sys.stdout = sys.stderr = None\n"
            "model = fastrnn.train('book.txt', preset='classic', updates=40, "
            "checkpoint='m.safetensors')\nsys.exit(len(model.history))")
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT).returncode == 40
    assert len(fastrnn.load("m.safetensors").history) == 40


def test_show_without_a_stream(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    screen.show("an error", error=True)
    assert capsys.readouterr().out == ""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    screen.show("a text")
    assert cli.main(["info", "nothing"]) == 2


def test_show_into_a_pipe_that_nobody_reads(monkeypatch):
    """That ends the program, but an error that cannot be told changes nothing."""
    end, start = os.pipe()
    os.close(end)
    with open(start, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        for needed in (True, False):
            with pytest.raises(BrokenPipeError):
                screen.show("a text", needed=needed)
        screen.show("an error", error=True)
        with pytest.raises(BrokenPipeError):
            screen.Unfailing(stream).flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), start)


# ---- pipes, sockets and devices as files ----

def at_once(call, error, message):
    """The call raises an error in little time; a thread's time, since waiting could be for ever."""
    found = []

    def run():
        try:
            found.append(call())
        except Exception as raised:
            found.append(raised)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert found, "it waits"
    assert isinstance(found[0], error) and re.search(message, str(found[0])), repr(found[0])


@pytest.fixture
def specials(here):
    """A pipe, a socket and a device."""
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        yield ["pipe", "socket", "/dev/zero", "/dev/null"]


def test_models_are_regular_files(specials, trained):
    for path in specials:
        for call in (fastrnn.load, fastrnn.EchoStateNetwork.load,
                     *(lambda p, way=way: fastrnn.train("book.txt", **{way: p}, progress=False)
                       for way in ("resume", "repeat", "init_from"))):
            at_once(lambda path=path, call=call: call(path), OSError,
                    f"'{path}' is not a regular file: give the path of a checkpoint")
    for command in (["info"], ["sample"], ["score", "book.txt"], ["train", "book.txt", "--resume"],
                    ["train", "book.txt", "--repeat"], ["train", "book.txt", "--init-from"]):
        code, out, err = in_files(*command[:1], *(command[1:] if command[0] == "train" else []),
                                  "pipe", *(command[1:] if command[0] != "train" else []))
        assert (code, out) == (2, "") and "'pipe' is not a regular file" in err


def test_texts_are_no_devices(specials, trained, monkeypatch):
    monkeypatch.setattr(texts, "WAIT", 0.1)
    model = fastrnn.load(trained)
    for path, message in zip(specials, ["a pipe that no program writes to: start",
                                        *3 * ["a device or a socket: give"]], strict=True):
        for call in (fastrnn.train, fastrnn.Corpus.from_file, fastrnn.Corpus.from_lines,
                     fastrnn.Corpus.from_table, lambda p: fastrnn.Corpus.from_file(p, "byte"),
                     lambda p: model.score(fastrnn.Corpus.from_file(p))):
            at_once(lambda path=path, call=call: call(path), OSError, f"'{path}' is {message}")
    for command in (["train", "--table"], ["gradcheck"], ["train", "book.txt", "--config"],
                    ["score", trained]):
        code, out, err = in_files(*command, "pipe")
        assert (code, out) == (2, "") and "'pipe' is a pipe that no program writes to" in err
    code, out, err = in_files("train", "/dev/zero")
    assert (code, out) == (2, "") and "'/dev/zero' is a device or a socket" in err


@pytest.mark.parametrize("before", [0, 0.3])
def test_a_text_from_a_named_pipe(specials, before):
    """Longer than a pipe holds, written in parts, by a program that comes a little later."""
    text = "to be or not to be\n" * 10_000

    def write():
        time.sleep(before)
        with open("pipe", "w") as stream:
            stream.write(text[:7])
            stream.flush()
            time.sleep(0.2)
            stream.write(text[7:])

    writer = threading.Thread(target=write)
    writer.start()
    assert texts.read_text("pipe") == text
    writer.join(10)


def test_a_slow_program_is_waited_for(specials):
    """It has opened the pipe, so that something will come."""
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    with open("pipe", "wb") as stream:
        os.close(reader)
        found = []
        thread = threading.Thread(target=lambda: found.append(texts.read_bytes("pipe")))
        thread.start()
        time.sleep(texts.WAIT + 0.3)
        stream.write(b"at last")
    thread.join(10)
    assert found == [b"at last"]


def test_process_substitution(here):
    Path("run.toml").write_text("hidden_size = 9\n")
    code, out, err = in_shell("<(cat book.txt) --config <(cat run.toml)", "train", *SMALL[:2],
                              "--epochs", 1, "--checkpoint", "p.safetensors")
    assert code == 0, err
    model = fastrnn.train("book.txt", preset="classic", hidden_size=9, progress=False)
    assert fastrnn.load("p.safetensors").block.tobytes() == model.block.tobytes()
    Path("names.tsv").write_text("anna\tNetherlands\nbram\tPoland\n" * 9)
    for file, command in (("book.txt", ["score", "p.safetensors"]),
                          ("book.txt", ["gradcheck", "--hidden-size", 3]),
                          ("names.tsv", ["train", *SMALL[:4], "--checkpoint", "q", "--table"])):
        code, out, err = in_shell(f"<(cat {file})", *command)
        assert code == 0 and out, err
    code, out, err = in_shell("< book.txt", "score", "p.safetensors", "/dev/stdin")
    assert code == 0 and "of the chars" in out

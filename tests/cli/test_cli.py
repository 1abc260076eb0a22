"""The command line, as a person meets it."""
import inspect
import io
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from runs import classic, classic_command

import fastrnn
from fastrnn import cli, recipe
from fastrnn.cli import info, sample
from fastrnn.cli import train as train_command
from fastrnn.training import checkpoint

TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))
SMALL = ["--hidden-size", "9", "--seq-length", "6"]
NAMES_OF_COMMANDS = ", ".join(cli.name_of(one) for one in cli.COMMANDS)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory but for a book."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTRNN_DATA", raising=False)
    (tmp_path / "book.txt").write_bytes(TEXT.encode())
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """Run a command: its exit code, standard output and standard error."""
    def call(*arguments):
        try:
            code = cli.main(classic_command(arguments))
        except SystemExit as end:  # how argparse leaves
            code = end.code
        return code, *capsys.readouterr()
    return call


@pytest.fixture
def trained(call):
    assert call("train", "book.txt", *SMALL, "--updates", 150, "--no-progress",
                "--checkpoint", "m") [::2] == (0, "")
    return "m.safetensors"


def start(*arguments, environment=None, **settings):
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastrnn", *map(str, arguments)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | (environment or {}), **settings)


def config_of(path):
    about = checkpoint.read(path)[2]
    return about["model"] | about["trainer"]["config"] | {"seed": about["model"]["seed"]}


# ---- train ----

def test_train_is_train(call, here):
    code, out, err = call(
        "train", "book.txt", "--cell", "relu", "--hidden-size", 9, "--seq-length", 6,
        "--batch-size", 3, "--optimizer", "adam", "--learning-rate", 2e-3, "--clip-value", "none",
        "--clip-norm", 1, "--epochs", 2, "--init", "identity", "--init-scale", 0.05, "--dtype",
        "float64", "--seed", 3, "--no-progress", "--checkpoint", "out")
    assert (code, out, err) [::2] == (0, "")
    model = classic(
        "book.txt", cell="relu", hidden_size=9, seq_length=6, batch_size=3, optimizer="adam",
        learning_rate=2e-3, clip_value=None, clip_norm=1, epochs=2, init="identity",
        init_scale=0.05, dtype="float64", seed=3, progress=False)
    loaded = fastrnn.load("out")
    assert loaded.block.tobytes() == model.block.tobytes()
    assert loaded.history.loss.tobytes() == model.history.loss.tobytes()
    assert sorted(os.listdir()) == ["book.txt", "out.safetensors"]


def flags_of(command):
    """Its options by the name of the setting, from the parser itself."""
    return {action.dest: action for action in reversed(cli._parser()[1][command]._actions)}


def test_every_keyword_has_its_flag_and_its_default(call):
    assert call("train", "--help")[0] == 0
    flags = flags_of("train")
    for name, parameter in inspect.signature(fastrnn.train).parameters.items():
        if name not in ("source", "callback", "on_event"):
            assert f"--{name.replace('_', '-')}" in flags[name].option_strings
            chosen = name in recipe.CHOSEN
            shown = f"(default: {'chosen for the data' if chosen else parameter.default})"
            assert (chosen or parameter.default is not None) == (shown in flags[name].help), name


def test_what_a_person_sees(call, here):
    code, out, err = call("train", "book.txt", *SMALL, "--updates", 120, "--sample-every", 50)
    assert code == 0
    assert out.startswith("data        book.txt: 700 chars, 10 distinct; no validation\n"
                          "model       tanh RNN, 9 hidden units: ")
    assert re.search(r"---- update 100, smoothed loss 1\d\.\d\d nats per window of 6 chars", out)
    model = fastrnn.load("model.safetensors")  # the name that is used where none is given
    assert ("---- a sample of the trained model, temperature 0.8 ----\n"
            f"{model.sample(400, seed=0, temperature=0.8)}\n") in out
    loss = model.history.loss[-30:].mean() / 6
    assert model.history.train_loss[-1] == pytest.approx(loss, rel=1e-12)
    assert f"training    {loss:.3f} nats per char ({loss / np.log(2):.3f} bits, perplexity " in out
    assert f"smoothed    {model.history.smooth_loss[-1]:.2f} nats per window of 6 chars" in out
    assert "sample      fastrnn sample model.safetensors\n" in out
    assert "100%" in err and "chars/s" in err and f"loss {loss:.3f}, epoch " in err


@pytest.mark.parametrize("flags", [("--samples-at", 5, "2e", 50), ("--samples-at", "5,2e,50"),
                                   ("--samples-at=5,2e", "--samples-at", 50)])
def test_samples_after_some_updates(call, here, flags):
    code, out, _ = call("train", "book.txt", *SMALL, "--updates", 60, *flags)
    assert code == 0
    shown = re.findall(r"^---- update (\d+)", out, re.M)
    model = fastrnn.load("model.safetensors")
    n = (700 - 7) // 6 + 1 if model.history.seq_length == 6 else 0
    assert 2 * n > 60 and shown == ["5", "50"]
    code, out, err = call("info", "model.safetensors", "--samples")
    assert (code, err) == (0, "")
    assert out == "".join(f"---- update {at} ----\n{text}\n\n" for at, text in
                          model.history.samples)
    _, out, _ = call("info", "model.safetensors")
    assert re.search(r"^samples +2 samples, the last after 50 updates; --samples prints them$", out,
                     re.M)
    assert re.search(r"^samples_at +\[5, '2e', 50\]$", out, re.M)
    _, out, _ = call("info", "model.safetensors", "--toml")
    assert 'samples_at = [5, "2e", 50]\n' in out
    here.joinpath("run.toml").write_text(out)
    assert call("train", "book.txt", "--config", "run.toml", "--checkpoint", "again")[0] == 0
    assert fastrnn.load("again").history.samples == model.history.samples


@pytest.mark.parametrize(("arguments", "message"), [
    (("train", "--samples-at", 5, "book.txt"), "--samples-at: 'book.txt' is no number: write FILE "
     "before this flag, or the numbers with commas"),
    (("train", "book.txt", "--samples-at", "5x"), "--samples-at must be numbers of updates, such "
     "as 5, 50 and 500, or of epochs, such as 5e, not '5x'"),
    (("info", "--samples"), "--samples prints those of a checkpoint: give MODEL"),
])
def test_samples_that_cannot_be(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_a_model_without_samples(call):
    assert call("train", "book.txt", *SMALL, "--updates", 5, "--sample-every", 0)[0] == 0
    code, out, err = call("info", "model.safetensors", "--samples")
    assert (code, out) == (0, "") and "holds no samples: train with --sample-every" in err


def test_the_accuracy_is_shown(call):
    """In the bar, the closing lines, the picture and info."""
    pytest.importorskip("matplotlib")
    code, out, err = call("train", "book.txt", *SMALL, "--epochs", 3, "--accuracy", "--plot",
                          "a.png")
    assert code == 0
    history = fastrnn.load("model.safetensors").history
    last = history.accuracy[-1]
    assert len(history.accuracy) == 3 and history.updates_per_epoch == len(history) / 3
    said = f"after 3 epochs the likeliest char is the right one for {last:.2%} of the training data"
    assert f"accuracy    {said}" in " ".join(out.split("\n            "))
    assert err.rpartition("loss ")[2].split(", ")[1] == f"accuracy {last:.1%}"
    assert re.search(rf"^accuracy at the end +{said}$", call("info", "model.safetensors")[1], re.M)
    axes = history.plot()
    (right,) = [other for other in axes.figure.axes if other is not axes]
    (line,) = right.lines
    assert line.get_xdata().tolist() == [len(history) // 3 * n for n in (1, 2, 3)]
    assert line.get_ydata().tolist() == history.accuracy.tolist()
    assert "accuracy" in right.get_ylabel()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training, each update", "smoothed: s = 0.999 s + 0.001 loss",
        "accuracy on the training data"]


def test_names_of_char_rnn_and_torch_rnn(call):
    assert call("train", "book.txt", "--rnn_size", 8, "--seq_length", 5, "--batch_size", 2,
                "--max_epochs", 1, "--learning_rate", 0.02, "--grad_clip", 3, "--no-progress",
                "--checkpoint", "one")[0] == 0
    assert call("train", "book.txt", "--rnn-size", 8, "--seq-length", 5, "--batch-size", 2,
                "--max-epochs", 1, "--learning-rate", 0.02, "--grad-clip", 3, "--no-progress",
                "--checkpoint", "two")[0] == 0
    config = config_of("one")
    assert config == config_of("two")
    assert config | {"hidden_size": 8, "seq_length": 5, "batch_size": 2, "epochs": 1,
                     "learning_rate": 0.02, "clip_value": 3} == config
    ours = call("sample", "one", "--prime", "ab", "--length", 50, "--temperature", 0.5,
                "--seed", 4)
    assert ours[0] == 0
    for flag in ("--primetext", "--start_text", "--start-text"):
        assert call("sample", "one", flag, "ab", "--length", 50, "--temperature", 0.5,
                    "--seed", 4) == ours


def test_words(call):
    assert call("train", "book.txt", "--unit", "word", *SMALL, "--no-progress")[0] == 0
    assert fastrnn.load("model.safetensors").vocabulary.unit == "word"
    text = call("sample", "model.safetensors", "--length", 7)[1]
    assert len(text.removesuffix("\n").split(" ")) == 7  # some may be empty
    assert call("train", "book.txt", "--unit", "word", "--split", "space", "--no-lower",
                "--min_count", 2, *SMALL, "--no-progress")[0] == 0
    vocabulary = fastrnn.load("model-2.safetensors").vocabulary
    assert (vocabulary.split, vocabulary.lower, vocabulary.unknown) == ("space", False, "<unk>")


def test_without_a_file_it_learns_from_python_s_documentation(call, monkeypatch):
    texts = {"pydoc-topics": fastrnn.Corpus.from_text(TEXT, name="pydoc-topics")}
    monkeypatch.setattr(train_command.datasets, "load", lambda name, *_, **how: texts[name])
    code, out, _ = call("train", "--epochs", 3)
    assert code == 0
    assert "data        pydoc-topics: 700 chars" in out
    assert config_of("model.safetensors")["epochs"] == 3
    assert call("train", "--updates", 5, "--no-progress")[0] == 0
    # nobody asked to replace the first model
    assert config_of("model.safetensors")["epochs"] == 3
    assert config_of("model-2.safetensors")["updates"] == 5


def test_a_named_data_set(call):
    code, out, _ = call("train", "--dataset", "pydoc-topics", "--updates", 3, "--hidden-size", 9)
    assert code == 0
    assert re.match(r"data +pydoc-topics: \d{3},\d{3} chars", out)


def test_plot_writes_a_png(call):
    pytest.importorskip("matplotlib")
    assert call("train", "book.txt", *SMALL, "--updates", 20, "--no-progress",
                "--plot", "loss.png") [::2] == (0, "")
    with open("loss.png", "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(data) > 5000


@pytest.mark.parametrize("plot", ["nowhere/loss.png", "loss.nosuchformat"])
def test_a_plot_that_cannot_be_written_is_found_before_training(call, here, plot):
    pytest.importorskip("matplotlib")
    code, out, err = call("train", "book.txt", *SMALL, "--updates", 20, "--plot", plot)
    assert code == 2
    assert "fastrnn: error:" in err and "Traceback" not in err
    assert not (here / "model.safetensors").exists()


# ---- going on ----

def test_resume(call):
    whole = call("train", "book.txt", *SMALL, "--updates", 90, "--no-progress",
                 "--checkpoint", "whole")
    part = call("train", "book.txt", *SMALL, "--updates", 35, "--no-progress",
                "--checkpoint", "part")
    rest = call("train", "book.txt", "--resume", "part", "--updates", 90, "--no-progress")
    assert whole[::2] == part[::2] == rest[::2] == (0, "")
    assert fastrnn.load("part").block.tobytes() == fastrnn.load("whole").block.tobytes()
    # it went to the same file
    assert sorted(os.listdir()) == ["book.txt", "part.safetensors", "whole.safetensors"]
    code, _, err = call("train", "book.txt", "--resume", "part", "--hidden-size", 10)
    assert code == 2 and "was made with --hidden-size 9" in err


@pytest.fixture
def ctrl_c(monkeypatch):
    """Ctrl-C as soon as training has begun."""
    def once(trainer):
        if trainer.update == 0:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fastrnn.Trainer, "_add_sample", once)


@pytest.mark.parametrize(("name", "arguments"), [
    ("book.txt", ["book.txt"]),
    ("my book's first.txt", ["my book's first.txt", "--checkpoint", "a b"]),
    ("book.txt", ["book.txt", "--unit", "byte"]),
    ("book.txt", ["book.txt", "--unit", "word"]),
    ("book.txt", ["--dataset", "pydoc-topics"]),
    ("book.txt", ["--dataset", "pydoc-topics", "--unit", "byte"]),
    ("book.txt", ["--unit", "word"]),
], ids=lambda value: value if isinstance(value, str) else " ".join(value))
def test_ctrl_c_tells_how_to_go_on_and_that_command_does(
        call, here, ctrl_c, monkeypatch, name, arguments):
    os.rename("book.txt", name)
    code, _, err = call("train", *SMALL, "--no-progress", *arguments)
    assert code == 130
    (command,) = re.findall(r"to go on: (.+)\n", err)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    program, *rest = shlex.split(command)
    assert program == "fastrnn"
    path = "a b" if "--checkpoint" in arguments else "model.safetensors"
    done = len(fastrnn.load(path).history)
    assert 1 <= done < 100
    assert call("train", "--updates", done + 3, "--no-progress", *rest[1:]) [::2] == (0, "")
    assert len(fastrnn.load(path).history) == done + 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_of_a_process(here):
    child = start("train", "book.txt", "--epochs", 10**7, "--hidden-size", 9)
    while not child.stdout.readline().startswith("---- update 0"):
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert err.endswith("to go on: fastrnn train book.txt --resume model.safetensors\n")
    assert len(fastrnn.load("model.safetensors").history) > 0


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_during_training(here):
    """`fastrnn train | head -1`: no traceback, and no success without a model."""
    child = start("train", "book.txt", "--updates", 3000, "--hidden-size", 9,
                  "--sample-every", 10)
    child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read()
    code = child.wait(timeout=20)
    assert "Traceback" not in err
    assert code != 0 or len(fastrnn.load("model.safetensors").history) == 3000


def test_texts_that_the_terminal_cannot_show(here):
    """A terminal or pipe with a narrow encoding must not end an hour of training."""
    book = here / "book.txt"
    book.write_text("naïve – 𝄞 " * 100, encoding="utf-8")
    narrow = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    child = start("train", "book.txt", "--updates", 50, *SMALL, environment=narrow)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, "Traceback" in err) == (0, False), err
    assert len(fastrnn.load("model.safetensors").history) == 50
    child = start("sample", "model.safetensors", environment=narrow)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")
    assert len(out) >= 200


# ---- sample ----

def test_sample(call, trained):
    model = fastrnn.load(trained)
    assert call("sample", trained, "--seed", 3) == (0, model.sample(seed=3) + "\n", "")
    assert call("sample", trained, "--seed", 3, "--length", 20, "--prime", "abc",
                "--temperature", 0.5) == (
        0, "abc" + model.sample(20, prime="abc", temperature=0.5, seed=3) + "\n", "")
    assert call("sample", trained, "--seed", 3, "--length", 20, "--prime", "abc", "--no-echo") == (
        0, model.sample(20, prime="abc", seed=3) + "\n", "")
    assert call("sample", trained, "--length", 0) == (0, "\n", "")
    best = fastrnn.load(trained, best=True)
    assert best.block.tobytes() != model.block.tobytes()
    assert call("sample", trained, "--best", "--seed", 3, "--temperature", 0.1)[1] == \
        best.sample(seed=3, temperature=0.1) + "\n"
    one, other = call("sample", trained), call("sample", trained)
    assert one[1] != other[1]


def test_every_keyword_of_sample_has_its_flag_and_its_default(call):
    assert call("sample", "--help")[0] == 0
    flags = flags_of("sample")
    for name, parameter in [*inspect.signature(fastrnn.Model.sample).parameters.items()][1:]:
        assert f"--{name.replace('_', '-')}" in flags[name].option_strings
        shown = f"(default: {parameter.default})"
        if name != "echo":  # the command shows the prime
            assert (parameter.default not in (None, "")) == (shown in flags[name].help), name


def test_a_text_is_no_model(call, here):
    os.rename("book.txt", "my book.txt")
    code, _, err = call("sample", "my book.txt")
    assert code == 2
    assert err == ("fastrnn: error: 'my book.txt' is a text, not a trained model: train one on it "
                   "first, fastrnn train 'my book.txt'\n")


def test_notes_are_our_own_warnings_only(call, trained, monkeypatch):
    class Theirs(UserWarning, DeprecationWarning):
        pass

    def warn(model):
        warnings.warn("old_call is deprecated", Theirs, stacklevel=1)
        warnings.warn("give a longer one, such as hidden_size=8", stacklevel=1)
        return fastrnn.load(model), {}, {}

    shown = warnings.showwarning
    monkeypatch.setattr(cli.info, "read", warn)
    assert call("info", trained)[2] == "fastrnn: note: give a longer one, such as --hidden-size 8\n"
    assert warnings.showwarning is shown


def test_score(call, trained):
    """Nats, bits, perplexity and accuracy of a file."""
    code, out, err = call("score", trained, "book.txt")
    model = fastrnn.load(trained)
    nats = model.score(TEXT)
    assert (code, err) == (0, "")
    assert f"predicted  {len(TEXT) - 1} chars\n" in out
    assert f"loss       {nats:.4f} nats per char\n           {nats / np.log(2):.4f} bits" in out
    assert f"perplexity {np.exp(nats):.3f}\n" in out
    assert f"accuracy   {model.accuracy(TEXT):.2%} of the chars" in out
    assert call("score", trained)[0] == 2
    code, _, err = call("score", trained, "--records", "book.txt")
    assert code == 2 and "learned a text, not records: give FILE in place of --records" in err


def test_samples_side_by_side(call, trained):
    one, two, three = fastrnn.load(trained).sample(30, n=3, prime="ab", seed=3, echo=True)
    for flag in ("--n", "-n"):
        assert call("sample", trained, flag, 3, "--length", 30, "--prime", "ab", "--seed", 3) == (
            0, f"---- 1 of 3 ----\n{one}\n---- 2 of 3 ----\n{two}\n---- 3 of 3 ----\n{three}\n", "")


@pytest.mark.parametrize(("flags", "settings"), [
    (["--top-k", 3], {"top_k": 3}), (["--top_p", 0.6], {"top_p": 0.6}),
    (["--top-k", "none"], {}), (["--stop", "ab"], {"stop": "ab"}),
    (["--stop", "ab", "--temperature", 0.7, "--stop", "\n"],
     {"stop": ["ab", "\n"], "temperature": 0.7}),
    (["--sample", 0, "--start_text", "a"], {"temperature": 0, "prime": "a"}),
    (["--sample", 1, "--temperature", 0.5], {"temperature": 0.5}),
], ids=str)
def test_settings_of_sample(call, trained, flags, settings):
    model = fastrnn.load(trained)
    for length, seed in ((10, 3), (300, 4)):
        text = model.sample(length, **settings, seed=seed, echo=True)
        arguments = ["sample", trained, "--seed", seed, "--length", length, *flags]
        assert call(*arguments) == (0, text + "\n", "")
        assert call(*arguments, "--stream") == (0, text + "\n", "")


@pytest.mark.parametrize(("flags", "message"), [
    (["--top-p", 1.5], "--top-p must be above 0 and at most 1, not 1.5"),
    (["--top-p", 0], "--top-p must be above 0 and at most 1, not 0.0"),
    (["--top-k", 0], "--top-k must be a whole number of at least 1, not 0"),
    (["--n", 0], "--n must be a whole number of at least 1, not 0"),
    (["--length", -1], "--length must be a whole number of at least 0, not -1"),
    (["--stop", ""], "--stop must not be empty"),
    (["--stream", "--stop", "a", "--stop", ""], "--stop must not be empty"),
], ids=str)
def test_bad_settings_of_sample(call, trained, flags, message):
    code, out, err = call("sample", trained, *flags)
    assert (code, out) == (2, "")
    assert err.startswith(f"fastrnn: error: {message}") and err.count("\n") == 1


def test_a_stream_is_written_as_it_comes(trained, monkeypatch):
    """What is there is out before the next symbol is drawn."""
    terminal, seen = io.BytesIO(), []

    def symbols():
        for symbol in "abc":
            yield symbol, 0.0
            seen.append(terminal.getvalue())

    monkeypatch.setattr(sample, "with_surprisal", lambda *_: [symbols()])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal))
    assert cli.main(["sample", trained, "--stream"]) == 0
    assert seen == [b"a", b"ab", b"abc"]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_stream_into_head(here, trained):
    child = start("sample", trained, "--length", 10**9, "--stream", "--seed", 3)
    assert child.stdout.read(5) == fastrnn.load(trained).sample(5, seed=3)
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait(timeout=20) == 0


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_sample_into_head(here, trained):
    child = start("sample", trained, "--length", 300_000)
    assert len(child.stdout.read(5)) == 5
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait(timeout=20) == 0


# ---- gradcheck ----

@pytest.mark.parametrize("arguments", [
    [], ["--cell", "relu"], ["--hidden-size", "4", "--seq-length", "3", "--batch-size", "2"],
    ["--entries", "5", "--seed", "3"]], ids=" ".join)
def test_gradcheck_passes(call, arguments):
    code, out, err = call("gradcheck", *arguments)
    assert (code, err) == (0, "")
    for name in ("layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"):
        assert re.search(rf"^{re.escape(name)} .*\de-", out, re.MULTILINE)
    figure = re.fullmatch(r"passed: the largest relative error (.+) is below the tolerance 1e-06"
                          r"; float32 is within its bound.*", out.splitlines()[-1])[1]
    assert float(figure) < 1e-6 and f"largest relative error {figure} (step 0.0001" in out
    errors = re.findall(r" \d+ +(\d\.\d\de-\d\d)  \[", out)  # the table shows the same one
    assert len(errors) == 5 and max(errors, key=float) == figure


def test_gradcheck_lists_every_entry(call):
    code, out, err = call("gradcheck", "--list", "--entries", 4, "--eps", 1e-3)
    assert (code, err) == (0, "")
    title = r"^(\S+): 4 of \d+ entries, step 0.0001; course: \|a - n\| / max\(0.001, "
    names = re.findall(title, out, re.M)
    assert names == ["layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"]
    rows = re.findall(r"^\[[\d, ]+\] +(\S+) +(\S+) +(\S+) +(\S+) +\S+  (?:right|zero)$", out, re.M)
    assert len(rows) == 20
    for a, n, difference, course in (map(float, row) for row in rows):
        assert abs(a - n) == pytest.approx(difference, abs=1e-6 * abs(a))
        assert course == pytest.approx(difference / max(1e-3, abs(a) + abs(n)), rel=0.02)
    assert f"largest absolute difference {max(float(row[2]) for row in rows):.1e}" in out
    code, out, err = call("gradcheck", "--list", "--eps", 0)
    assert (code, out) == (2, "") and "eps must be" in err


def test_gradcheck_with_the_assignment_s_figures(call):
    """H = 5, step 1e-4: worst entry below 1e-5."""
    code, out, _ = call("gradcheck", "--hidden-size", 5, "--step", 1e-4, "--tolerance", 1e-5)
    assert code == 0
    assert "step 0.0001" in out


def test_gradcheck_fails_where_a_gradient_is_wrong(call, monkeypatch):
    right = fastrnn.Model.loss_and_gradients

    def wrong(self, *arguments, **keywords):
        loss, grads, state = right(self, *arguments, **keywords)
        grads["layer0.Wh"][2, 3] *= 1.001
        return loss, grads, state

    monkeypatch.setattr(fastrnn.Model, "loss_and_gradients", wrong)
    code, out, _ = call("gradcheck")
    assert code == 1
    assert out.splitlines()[-1] == (
        "FAILED: 1 of 283 entries is wrong; the relative error 5.00e-04 of layer0.Wh at [2, 3] is "
        "above the tolerance 1e-06")
    assert re.search(r"layer0\.Wh .* \[2, 3\]", out)  # the table says where
    assert call("gradcheck", "--tolerance", 1e-2)[0] == 0


def test_gradcheck_fails_where_a_number_is_not_one(call, monkeypatch):
    right = fastrnn.Model.loss_and_gradients

    def nan(self, *arguments, **keywords):
        loss, grads, state = right(self, *arguments, **keywords)
        grads["head.b"][1] = np.nan
        return loss, grads, state

    monkeypatch.setattr(fastrnn.Model, "loss_and_gradients", nan)
    assert call("gradcheck")[0] == 1


DEEP, DEEPER = ["--num-layers", 2, "--dropout"], ["--num-layers", 3, "--embedding-size", 4]


@pytest.mark.parametrize(("cell", "more"), [
    *itertools.product(["rnn", "relu", "lstm", "gru", "memory", "mgu", "mlstm"], [[]]),
    ("gru", DEEP), ("memory", DEEP), ("rnn", DEEPER), ("mgu", DEEPER), ("mlstm", DEEPER)])
def test_gradcheck_of_each_cell(call, cell, more):
    code, out, _ = call("gradcheck", "--cell", cell, *more)
    assert code == 0, out


@pytest.mark.parametrize("cell", ["rnn", "mgu", "esn", *(
    pytest.param(cell, marks=pytest.mark.long) for cell in ("relu", "lstm", "gru", "memory"))])
def test_gradcheck_of_the_course_s_size(call, cell):
    """The weights of 100 units are smaller than those of 5, so that nothing is chaotic."""
    code, out, _ = call("gradcheck", "--cell", cell, "--hidden-size", 100, "--seq-length", 25)
    assert code == 0, out
    trained = {"esn": "2300 of 2300", "rnn": "200 of 10000", "lstm": "200 of 40000"}
    assert trained.get(cell, "200 of 2300") in out
    assert out.splitlines()[-1].startswith("passed")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradcheck_of_large_batches(call, dtype):
    code, out, _ = call("gradcheck", "--cell", "gru", "--batch-size", 64, "--hidden-size", 20,
                        "--dtype", dtype, "--entries", 10)
    assert code == 0, out
    assert f"N 64, {dtype}" in out
    assert ("largest error of float32" in out) is (dtype == "float32")


def test_gradcheck_is_not_conclusive(call):
    """Where rounding hides the answer, and where chaos does: never passed."""
    code, out, err = call("gradcheck", "--tolerance", 1e-12)
    assert (code, err) == (3, "")
    # which of two reasons it names depends on the last bit: at -O3 (gcc 12) it is this one
    reason = "" if "-O1" in fastrnn.build_info()["compiler"] else "most gradients of layer0."
    assert out.splitlines()[-1].startswith(f"not conclusive: {reason}")
    code, out, _ = call("gradcheck", "--hidden-size", 100, "--seq-length", 25, "--init-scale", 1,
                        "--entries", 10)
    assert code == 3
    assert "a chaotic recurrence or a kink of relu" in out.splitlines()[-1]


@pytest.mark.parametrize("more", [[], ["--unit", "word"], ["--unit", "byte", "--cell", "lstm"]])
def test_gradcheck_of_a_text(call, here, more):
    (here / "story.txt").write_text("a cat sat. a dog sat on a cat. " * 5)
    code, out, _ = call("gradcheck", "story.txt", *more)
    assert code == 0, out
    symbols = 8 if "word" in more else 10
    assert out.startswith(f"story.txt: cell {'lstm' if 'lstm' in more else 'rnn'}, L 1, "
                          f"K {symbols}, H 5, T 7, N 3, float32\n")


def test_gradcheck_of_a_checkpoint(call, trained):
    code, out, err = call("gradcheck", trained, "--seq-length", 6, "--batch-size", 4)
    assert (code, err) == (0, "")
    assert out.startswith("m.safetensors: cell rnn, L 1, K 10, H 9, T 6, N 4, float32\n")
    model = fastrnn.load(trained)
    assert f"81 of {model.params['layer0.Wh'].size}" in out
    model.params["layer0.Wh"][:] = np.random.default_rng(0).normal(0, 30, (9, 9))
    model.save("wild.safetensors")
    code, out, _ = call("gradcheck", "wild.safetensors", "--seq-length", 30)
    assert code == 3 and out.splitlines()[-1].startswith("not conclusive")


@pytest.mark.parametrize("kind", ["records", "numbers", "symbols to numbers", "float64"])
def test_gradcheck_of_other_models(call, kind):
    if kind == "records":
        source = fastrnn.Corpus.from_records(["anna", "bob", "carl"], ["x", "y", "x"])
    elif kind == "float64":
        source = fastrnn.Corpus.from_text(TEXT)
    else:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(9, 5, 2)) if kind == "numbers" else rng.integers(4, size=(9, 5))
        source = fastrnn.Sequences(inputs, rng.normal(size=(9, 5, 3)))
    settings = {"dtype": "float64"} if kind == "float64" else {}
    fastrnn.train(source, hidden_size=6, cell="gru", updates=3, seq_length=5, progress=False,
                  **settings).save("model")
    code, out, _ = call("gradcheck", "model")
    assert code == 0, out
    assert ("layer0.Wc" in out) is (kind == "records")
    assert ("float32" in out) is (kind != "float64")


def test_gradcheck_refuses(call, trained, here):
    (here / "short.txt").write_text("short")
    for arguments, message in [
            ([trained, "--cell", "lstm", "--hidden-size", 4],
             "'m.safetensors' is a checkpoint, which fixes the model: leave out --cell, "
            "--hidden-size"),
            ([trained, "--dtype", "float64"], "leave out --dtype"),
            (["nowhere.txt"], "no file 'nowhere.txt'"),
            (["nowhere.safetensors"], "no file 'nowhere.safetensors': give the path of a "
                                      "checkpoint file"),
            (["short.txt"], "short.txt has 5 symbols, and --seq-length 7 needs at least 8: give a "
                            "longer text or a smaller --seq-length"),
            (["--unit", "word"], "--unit says what a symbol of a text is: give a text FILE"),
            (["--dtype", "float16"], "dtype must be one of 'float32', 'float64'")]:
        code, out, err = call("gradcheck", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("fastrnn: error: ") and message in err


# ---- info ----

def test_info(call, trained):
    code, out, err = call("info", trained)
    assert (code, err) == (0, "")
    rows = dict(line.split(None, 1) for line in out.splitlines() if len(line.split(None, 1)) == 2)
    assert rows["file"] == trained
    history = fastrnn.load(trained).history
    expected = {"symbols": "10", "unit": "char", "parameters": "280", "cell": "rnn",
                "hidden_size": "9", "dtype": "float32", "seq_length": "6", "optimizer": "adagrad",
                "text": "book.txt", "layer0.Wx": "10x9 = 90", "head.b": "10",
                "bytes": f"{os.path.getsize(trained):,}"}
    assert rows | expected == rows
    assert f"{history.smooth_loss[-1]:.2f} nats per window of 6 chars" in out
    assert f"{history.train_loss[-1]:.3f} nats per char" in out
    assert re.search(r"^updates +150\nepochs completed +1\n", out, re.M)
    assert re.search(r"best model +after 100 updates \(lowest smoothed loss\)\n", out)


def test_info_names_the_settings_by_where_they_come_from(call, trained):
    sections = dict(re.findall(r"^---- ([^\n]*) ----\n(.*?)(?=^----|\Z)", call("info", trained)[1],
                               re.M | re.S))
    assert [*sections] == ["model", "training", "settings, given", "settings, by preset classic",
                           "settings, by default"]
    names = {title: {line.split("  ")[0] for line in text.splitlines() if line}
             for title, text in sections.items()}
    assert names["settings, given"] == {"hidden_size", "seq_length", "updates planned"}
    assert {"cell", "optimizer", "learning_rate"} <= names["settings, by preset classic"]
    assert {"dropout", "seed", "epochs planned"} <= names["settings, by default"]
    assert "settings                   preset classic: the classic character model" in (
        sections["training"])


def test_info_draws_the_losses(call, here):
    assert call("train", "book.txt", *SMALL, "--updates", 200, "--valid-every", 50,
                "--valid-fraction", 0.2, "--checkpoint", "v", "--no-progress")[0] == 0
    out = call("info", "v")[1]
    history = fastrnn.load("v", best=False).history
    curves = re.findall(r"^(training|validation) curve +(\S.*|  .*)\n +first (\S+), lowest (\S+), "
                        r"last (\S+) nats per char$", out, re.M)
    for (name, drawn, *named), losses in zip(
            curves, (history.train_loss, history.valid_loss), strict=True):
        assert named == [f"{x:.3f}" for x in (losses[0], losses.min(), losses[-1])], name
        assert len(drawn.rstrip()) <= 40
    line = next(line for line in out.splitlines() if line.startswith("validation curve"))[27:]
    assert [at for at, char in enumerate(line) if char != " "] == [
        (update - 1) * 40 // 200 for update in history.valid_updates]
    top, low = history.train_loss.reshape(40, 5).mean(axis=1), history.valid_loss
    low, top = min(*top, *low), max(*top, *low)
    expected = "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * (mean - low) / (top - low)))]
                       for mean in history.train_loss.reshape(40, 5).mean(axis=1))
    assert re.search(rf"^training curve +{expected}$", out, re.M) and len({*expected}) > 4


def test_a_binary_cross_entropy_has_no_perplexity(call, here):
    code, out, err = call("train", "book.txt", *SMALL, "--updates", 20, "--valid-fraction", 0.2,
                          "--loss", "binary_cross_entropy", "--checkpoint", "v", "--no-progress")
    assert code == 0
    history = fastrnn.load("v", best=False).history
    loss = history.loss.mean() / history.seq_length
    expected = f"{loss:.3f} nats of binary cross-entropy per char"
    assert re.search(rf"^training +{expected}, mean", out + err, re.M)
    out = call("info", "v")[1]
    assert re.search(rf"^training loss +{expected}$", out, re.M)
    low = history.valid_loss.min()
    assert re.search(rf"^lowest validation loss +{low:.3f} nats per char .*perplexity "
                     rf"{np.exp(low):.2f}\)$", out, re.M)
    assert call("export", "v", "-o", "v.html")[0] == 0
    page = Path("v.html").read_text(encoding="utf-8")
    assert expected in page and f"perplexity {np.exp(loss):.2f}" not in page


@pytest.mark.parametrize(("values", "drawn"), [
    ([1, 2, None, 9], "▁▂ █"), ([3, 3], "▁▁"), ([float("nan"), 1, float("inf"), 3], "?▁?█"),
    ([], ""), ([None], "")])
def test_sparklines(values, drawn, monkeypatch):
    class Stream:
        encoding = "utf-8"

    monkeypatch.setattr(sys, "stdout", Stream())
    assert info.sparkline(values, values) == drawn
    Stream.encoding = "ascii"
    assert info.sparkline(values, values) == drawn.translate(str.maketrans("▁▂▃▄▅▆▇█", "_.-:=+*#"))


def test_info_of_a_model_without_a_run(call):
    fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=3).save("bare")
    code, out, _ = call("info", "bare")
    assert code == 0
    assert "updates" not in out and re.search(r"^symbols +2$", out, re.MULTILINE)


def test_info_of_fastrnn_itself(call):
    code, out, _ = call("info")
    assert code == 0
    for name, value in fastrnn.build_info().items():
        assert re.search(rf"^{name} +{re.escape(str(value))}$", out, re.MULTILINE)


# ---- the rest ----

def test_version_and_help(call):
    assert call("--version") == (0, f"{fastrnn.__version__}\n", "")
    for command in ("train", "sample", "gradcheck", "info"):
        code, out, err = call(command, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: fastrnn {command}")
        assert "as in the Python call" not in out  # each flag says what it does


def test_help_speaks_of_flags(call):
    """Not of the names that settings have in Python, but for a file of settings and a formula."""
    long = {name for name in cli.NAMES if "_" in name}
    assert len(long) > 30
    for command in cli.COMMANDS:
        out = call(cli.name_of(command), "--help")[1]
        out = out.replace("hidden_size = 200", "").replace("-learning_rate v", "")
        assert not long & {*re.findall(r"[a-z]+(?:_[a-z]+)+", out)}, command
        assert not re.search(r"\bNone\b|`Trainer`|in Python", out), command


@pytest.mark.parametrize("name", ["names.tsv", "names.CSV"])
def test_a_table_that_is_read_as_a_text_is_told(call, here, name):
    Path(name).write_text("anna\tx\nbob\ty\n" * 60)
    code, _, err = call("train", name, *SMALL, "--updates", 3, "--no-progress")
    assert code == 0 and f"fastrnn: note: {name} is read as one text; --table {name} reads" in err
    assert "is read as one text" not in call("train", "book.txt", *SMALL, "--updates", 3,
                                             "--no-progress")[2]


def test_what_can_be_done_with_a_model_of_labels(call, here):
    Path("names.tsv").write_text("anna\tx y\nbob\tz\n" * 60)
    out = call("train", "--table", "names.tsv", "--hidden-size", 5, "--updates", 3,
               "--no-progress")[1]
    commands = re.findall(r"^(?:sample|chat|score) +fastrnn (.*)$", out, re.M)
    assert commands == ["sample model.safetensors --label 'x y'",
                        "chat model.safetensors --label 'x y'",
                        "score model.safetensors --table FILE"]
    assert call(*shlex.split(commands[0]))[0] == 0


@pytest.mark.parametrize(("arguments", "message"), [
    ("", "give COMMAND (see fastrnn --help)"),
    ("trian",  # codespell:ignore
     f"COMMAND must be one of {NAMES_OF_COMMANDS}, not 'trian': "  # codespell:ignore
     "did you mean train? (see fastrnn --help)"),
    ("train --hidden-size many", "--hidden-size must be a whole number, not 'many' (see fastrnn "
                                 "train --help)"),
    ("train --learning-rate fast", "--learning-rate must be a number, not 'fast' (see"),
    ("train --hiden-size 3", "there is no flag --hiden-size: did you mean --hidden-size? (see"),
    ("train --xyzzy", "there is no flag --xyzzy (see fastrnn train --help)"),
    ("train -rnn_sise 3", "there is no flag --rnn-sise: did you mean --rnn-size? (see"),
    ("train a b", "no file 'a': check the path"),
    ("sample", "give MODEL (see fastrnn sample --help)"),
    ("train --vali 3", "ambiguous option: --vali could match --valid-fraction, --valid-split, "),
    ("train book.txt --epochs 2 --minutes 3", "give one of --epochs, --updates and --minutes, not "
                                              "--epochs and --minutes"),
    ("train nowhere.txt --dropout 2", "--dropout must be at least 0 and below 1, not 2.0"),
    ("train nowhere.txt --optimizer adam --momentum 0.9", "--momentum is for --optimizer sgd, not "
                                                          "'adam': leave it out"),
    ("train nowhere.txt --patience 3 --valid-fraction 0", "--patience needs a --valid-fraction"),
    ("train book.txt --preset goblin", "--preset must be one of"),
    ("train book.txt --preset names", "preset 'names' is for records, and this is text: choose "
                                      "one of 'classic', 'goblet', 'min-char-rnn'"),
], ids=str)
def test_usage(call, arguments, message):
    """One line in the words of the command line, with what to do."""
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"fastrnn: error: {message}") and err.count("\n") == 1, err


@pytest.mark.parametrize(("short", "name", "value"), [
    ("--hid 7", "hidden_size", 7), ("--hidden_size=7", "hidden_size", 7), ("-rnn_size 7",
     "hidden_size", 7), ("--seq 9", "seq_length", 9), ("--lr 0.02", "learning_rate", 0.02),
    ("-grad_clip 0", "clip_value", None), ("-wordvec_size 0", "embedding_size", None),
    ("-checkpoint_every 0", "checkpoint_every", 0), ("-gpuid -1", "cell", "rnn"),
    ("-model gru", "cell", "gru"), ("-lr_decay_every 0", "learning_rate_decay", 1.0),
    ("-val_frac 0.1", "valid_fraction", 0.1), ("--no-acc", "accuracy", False)])
def test_flags_may_be_short_and_spelled_as_in_char_rnn(call, short, name, value):
    assert call("train", "book.txt", *SMALL[2:], *short.split(), "--updates", 2, "--no-progress",
                "--checkpoint", "m")[0] == 0
    assert config_of("m")[name] == value


def test_as_a_module_and_as_a_program(here):
    for command in ([sys.executable, "-m", "fastrnn"],
                    [os.path.join(os.path.dirname(sys.executable), "fastrnn")]):
        if not os.path.exists(command[0]):
            pytest.skip("the program is not installed beside this Python")
        done = subprocess.run([*command, "info", "nowhere"], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 2
        assert done.stderr == ("fastrnn: error: no file 'nowhere': give the path of a checkpoint "
                               "file\n")
        assert done.stdout == ""


def test_resume_without_the_text_says_which(call):
    assert call("train", "book.txt", *SMALL, "--updates", 5, "--no-progress")[0] == 0
    code, _, err = call("train", "--resume", "model.safetensors", "--updates", 9)
    assert code == 2
    assert "was trained on 'book.txt': give that FILE too" in err


# ---- names of checkpoints, and what is not replaced ----

@pytest.mark.parametrize(("given", "made"), [
    ("model", "model.safetensors"), ("a.b/model", "a.b/model.safetensors"), ("m.st", "m.st")])
def test_names_of_checkpoints(call, given, made):
    os.makedirs("a.b")
    assert call("train", "book.txt", *SMALL, "--updates", 3, "--no-progress", "--checkpoint",
                given)[0] == 0
    assert os.path.isfile(made)
    assert call("info", given)[0] == 0
    assert call("train", "book.txt", "--resume", given, "--updates", 5, "--no-progress")[0] == 0
    assert len(fastrnn.load(made).history) == 5


def test_a_book_is_not_replaced_by_its_model(call):
    before = Path("book.txt").read_bytes()
    for name, said in (("book.txt", "give such a name: --checkpoint book.safetensors"),
                       ("model.pt", "give such a name: --checkpoint model.safetensors")):
        code, _, err = call("train", "book.txt", *SMALL, "--updates", 3, "--checkpoint", name)
        assert code == 2 and said in err
    Path("other.safetensors").write_text("notes")
    code, _, err = call("train", "book.txt", *SMALL, "--updates", 3, "--checkpoint",
                        "other.safetensors")
    assert code == 2 and "fastrnn did not write it" in err and "--overwrite" in err
    assert call("train", "book.txt", *SMALL, "--updates", 3, "--no-progress", "--checkpoint",
                "other.safetensors", "--overwrite")[0] == 0
    assert Path("book.txt").read_bytes() == before


def test_a_picture_of_another_program_is_not_replaced(call):
    pytest.importorskip("matplotlib")
    Path("photo.png").write_bytes(b"\x89PNG a photo")
    arguments = ("train", "book.txt", *SMALL, "--updates", 3, "--no-progress", "--plot")
    code, _, err = call(*arguments, "photo.png")
    assert code == 2 and "fastrnn did not write it" in err
    assert Path("photo.png").read_bytes() == b"\x89PNG a photo"
    for kind in ("png", "svg", "pdf"):
        for _ in range(2):  # its own picture is drawn anew
            assert call(*arguments, f"loss.{kind}")[0] == 0

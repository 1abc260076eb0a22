"""The list of bad input: one clear error each, through Python and through the command line, exit
code 2 without a traceback, found before training starts, and nothing lost."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from runs import classic, classic_command

import fastrnn
from fastrnn import cli
from fastrnn.cli.flags import in_flags

TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))
SMALL = {"hidden_size": 9, "seq_length": 6, "progress": False}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with good and bad files; none of them may change."""
    monkeypatch.chdir(tmp_path)
    files = {
        "book.txt": TEXT.encode(),
        "empty.txt": b"",
        "bom.txt": b"\xef\xbb\xbf",
        "blank.txt": b" \n \n",
        "short.txt": b"abcdefg",
        "one.txt": b"a" * 100,
        "latin1.txt": b"a" * 70_000 + "Málaga".encode("latin-1"),
        "cut.txt": b"ab" * 50 + "é".encode()[:1],
        "notes.safetensors": b"these are only notes",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "directory").mkdir()
    classic("book.txt", **SMALL, updates=20, checkpoint="good.safetensors")
    good = (tmp_path / "good.safetensors").read_bytes()
    files["good.safetensors"] = good
    files["cut.safetensors"] = good[:-100]
    files["future.safetensors"] = re.sub(rb'(format_version\\": ?)7', rb'\g<1>8', good)
    assert files["future.safetensors"] != good
    for name in ("cut.safetensors", "future.safetensors"):
        (tmp_path / name).write_bytes(files[name])
    names = sorted(os.listdir())
    yield tmp_path
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert sorted(os.listdir()) == names  # no new file, no temporary one


@pytest.fixture
def not_trained(monkeypatch):
    """Training may not even begin."""
    def run(*_, **__):
        raise AssertionError("training has begun")

    monkeypatch.setattr(fastrnn.Trainer, "run", run)


def refused_by_the_command(capsys, arguments, message):
    try:
        code = cli.main(classic_command(arguments))
    except SystemExit as end:  # how argparse leaves
        code = end.code
    out, err = capsys.readouterr()
    assert code == 2
    last = err.rstrip("\n").split("\n")[-1]
    assert last.startswith("fastrnn") and "error: " in last
    assert message in last or in_flags(message, cli.NAMES) in last
    assert err.count("error") == 1  # one error, said once
    assert "Traceback" not in err
    return out, err


def flags(settings):
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


TEXTS = [
    ("empty.txt", {}, ValueError, "empty.txt is empty: give a text"),
    ("bom.txt", {}, ValueError, "bom.txt is empty: give a text"),
    ("short.txt", {}, ValueError, "short.txt has 7 symbols, and seq_length 6 with batch_size 1 "
                                  "needs at least 8"),
    ("book.txt", {"batch_size": 100}, ValueError,
     "needs at least 800: give a longer text or a smaller seq_length, or a batch_size of at "
     "most 87"),
    ("one.txt", {}, ValueError, "one.txt has only one distinct char, 'a'"),
    ("latin1.txt", {}, ValueError, "'latin1.txt' is not UTF-8: byte 0xe1 at byte offset 70001"),
    ("cut.txt", {}, ValueError, "'cut.txt' is not UTF-8: byte 0xc3 at byte offset 100"),
    ("nowhere.txt", {}, FileNotFoundError, "no file 'nowhere.txt': check the path"),
    ("book.txt/chapter1", {}, FileNotFoundError, "no file 'book.txt/chapter1'"),
    ("To be, or not to be? " * 50, {}, FileNotFoundError, "no file 'To be, or not to be?"),
    ("directory", {}, IsADirectoryError, "'directory' is a directory: give the path of one text"),
    ("", {}, FileNotFoundError, "no file ''"),
]


@pytest.mark.parametrize(("file", "settings", "error", "message"), TEXTS,
                         ids=[row[0][:20] for row in TEXTS])
def test_texts(here, not_trained, capsys, file, settings, error, message):
    with pytest.raises(error) as caught:
        classic(file, checkpoint="good.safetensors", **(SMALL | settings))
    assert message in str(caught.value)
    if error is FileNotFoundError:
        assert "Corpus.from_text" in str(caught.value)
    out, _ = refused_by_the_command(
        capsys, ["train", file, "--seq-length", 6, "--hidden-size", 9, "--checkpoint",
                 "good.safetensors", *flags(settings)], message)
    assert out == ""


def test_texts_at_hand():
    for text, unit in (("", "char"), (" \n", "word"), (b"", "byte")):
        with pytest.raises(ValueError, match="text is empty: give a text"):
            fastrnn.Corpus.from_text(text, unit)
    with pytest.raises(ValueError, match="only one distinct word, 'to'"):
        fastrnn.Corpus.from_text("to To TO", "word")


def test_blanks_are_a_text_of_characters_and_none_of_words(here, not_trained, capsys):
    assert len(fastrnn.Corpus.from_file("blank.txt")) == 4
    refused_by_the_command(capsys, ["train", "blank.txt", "--unit", "word"], "blank.txt is empty")


def test_the_shortest_text_that_will_do(here):
    """seq_length + 2 symbols are enough, one fewer is not."""
    assert len(classic(fastrnn.Corpus.from_text("abcdefgh"), **SMALL).history) == 1
    with pytest.raises(ValueError, match="needs at least 8"):
        classic(fastrnn.Corpus.from_text("abcdefg"), **SMALL)


NAN, INFINITY = float("nan"), float("inf")
VALUES = [
    *[(name, value) for name in ("hidden_size", "seq_length", "batch_size", "epochs", "updates",
                                 "sample_length") for value in (0, -1)],
    ("checkpoint_every", -1),
    *[(name, value) for name in ("learning_rate", "clip_value", "clip_norm")
      for value in (0.0, -0.1, NAN, INFINITY) if value or name == "learning_rate"],
    ("init_scale", -1.0), ("init_scale", NAN), ("sample_every", -1), ("seed", -1),
    ("hidden_size", 2**40), ("seq_length", 2**40), ("seq_length", 2**31 - 3),
    ("batch_size", 2**31 - 1), ("cell", "gro"), ("optimizer", "adamw"), ("init", "zero"),
    ("dtype", "float16"),
]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=str)
def test_values(here, not_trained, capsys, name, value):
    with pytest.raises(ValueError, match=name):
        classic("book.txt", checkpoint="good.safetensors", **(SMALL | {name: value}))
    settings = {"hidden_size": 9, "seq_length": 6} | {name: value}
    refused_by_the_command(capsys, ["train", "book.txt", "--checkpoint", "good.safetensors",
                                    *flags(settings)], name)


@pytest.mark.parametrize(("name", "value"), [
    ("hidden_size", "many"), ("learning_rate", "fast"), ("updates", "1.5"), ("seed", "x"),
    ("batch_size", "none")])
def test_values_that_are_no_numbers(here, not_trained, capsys, name, value):
    with pytest.raises(TypeError, match=f"{name} must be a"):
        classic("book.txt", **(SMALL | {name: value}))
    refused_by_the_command(capsys, ["train", "book.txt", *flags({name: value})],
                           f"--{name.replace('_', '-')}")


def test_a_model_too_large_for_the_memory(here, not_trained, capsys):
    """2**31 parameters are refused; fewer may still be more than this machine holds."""
    code = ("import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
            "import sys; from fastrnn.cli import main; sys.exit(main(sys.argv[1:]))")
    if os.name != "posix":
        pytest.skip("memory limits of POSIX")
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "book.txt", "--hidden-size", "40000",
         "--checkpoint", "good.safetensors"], capture_output=True, text=True, check=False,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "fastrnn: error: " in done.stderr


CHECKPOINTS = [
    ("nowhere/m.safetensors", FileNotFoundError, "cannot write 'nowhere/m.safetensors'"),
    ("directory", IsADirectoryError, "'directory' is a directory: name a file in it"),
    ("book.txt/m.safetensors", OSError, "cannot write 'book.txt/m.safetensors'"),
    ("directory/" + "x" * 300, OSError, "directory/xxx"),
]


@pytest.mark.parametrize(("path", "error", "message"), CHECKPOINTS,
                         ids=[row[0][:20] for row in CHECKPOINTS])
def test_an_unwritable_checkpoint_is_found_before_training(
        here, not_trained, capsys, path, error, message):
    with pytest.raises(error, match=message):
        classic("book.txt", checkpoint=path, **SMALL)
    refused_by_the_command(capsys, ["train", "book.txt", "--checkpoint", path], message)
    with pytest.raises(error, match=message):
        classic("book.txt", resume="good.safetensors", checkpoint=path, progress=False)
    refused_by_the_command(capsys, ["train", "book.txt", "--resume", "good.safetensors",
                                    "--checkpoint", path], message)


@pytest.mark.parametrize(("path", "error", "message"), CHECKPOINTS,
                         ids=[row[0][:20] for row in CHECKPOINTS])
def test_saving_to_an_unwritable_path(here, path, error, message):
    with pytest.raises(OSError, match=path[:20]):
        fastrnn.load("good.safetensors").save(path)


FILES = [
    ("nowhere.safetensors", FileNotFoundError, "no file 'nowhere.safetensors'"),
    ("directory", IsADirectoryError, "'directory' is a directory"),
    ("cut.safetensors", ValueError, "'cut.safetensors' is not a safetensors file, or is cut short"),
    ("empty.txt", ValueError, "'empty.txt' is not a safetensors file"),
    ("notes.safetensors", ValueError, "'notes.safetensors' is a text, not a trained model"),
    ("book.txt", ValueError, "'book.txt' is a text, not a trained model"),
    ("future.safetensors", ValueError, "'future.safetensors' has format version 8"),
]


@pytest.mark.parametrize(("file", "error", "message"), FILES, ids=[row[0] for row in FILES])
def test_checkpoints(here, not_trained, capsys, file, error, message):
    for call in (lambda: fastrnn.load(file), lambda: fastrnn.load(file, best=True),
                 lambda: classic("book.txt", resume=file, progress=False)):
        with pytest.raises(error, match=message):
            call()
    for arguments in (["sample", file], ["info", file], ["train", "book.txt", "--resume", file]):
        out, _ = refused_by_the_command(capsys, arguments, message)
        assert out == ""


@pytest.mark.parametrize(("settings", "message"), [
    ({"prime": "abcXd"}, "char 'X' at position 3 is not in the vocabulary"),
    ({"prime": "é"}, "char 'é' at position 0"),
    ({"length": -1}, "length must be a whole number of at least 0"),
    ({"temperature": -1}, "temperature"),
    ({"temperature": NAN}, "temperature"),
    ({"temperature": INFINITY}, "temperature"),
    ({"seed": -1}, "seed"),
], ids=str)
def test_samples(here, capsys, settings, message):
    with pytest.raises(ValueError, match=message):
        fastrnn.load("good.safetensors").sample(**settings)
    out, _ = refused_by_the_command(
        capsys, ["sample", "good.safetensors", *flags(settings)], message)
    assert out == ""


@pytest.mark.parametrize("settings", [
    {"hidden_size": 0}, {"seq_length": -1}, {"batch_size": 0}, {"step": 0}, {"step": NAN},
    {"entries": 0}, {"init_scale": -1}, {"seed": -1}, {"tolerance": NAN}, {"tolerance": -1},
], ids=str)
def test_gradient_checks(here, capsys, settings):
    (name,) = settings
    refused_by_the_command(capsys, ["gradcheck", *flags(settings)], name)


@pytest.mark.parametrize("arguments", [
    ["train", "book.txt", "--dataset", "alice"], ["train", "--dataset", "alise"],
    ["train", "book.txt", "--epochs", "2", "--updates", "3"],
    ["train", "book.txt", "--resume", "good.safetensors", "--hidden-size", "10"],
    ["train", "one.txt", "--resume", "good.safetensors"],
    ["train", "--resume", "good.safetensors"],
], ids=" ".join)
def test_commands_that_contradict_themselves(here, not_trained, capsys, arguments):
    refused_by_the_command(capsys, arguments, "")


def test_a_run_that_explodes(here, capsys, tmp_path_factory):
    """Exit code 2, and the model that was there before is still a model."""
    path = tmp_path_factory.mktemp("run") / "m.safetensors"
    fastrnn.load("good.safetensors").save(path)
    refused_by_the_command(
        capsys, ["train", "book.txt", "--cell", "relu", "--init", "identity", "--clip-value",
                 "none", "--checkpoint", path, "--no-progress"],
        "training has diverged: the loss of update 2 is")
    assert np.isfinite(fastrnn.load(path).block).all()


@pytest.mark.parametrize(("arguments", "message"), [
    (["train", "empty.txt"], "empty.txt is empty"),
    (["sample", "cut.safetensors"], "cut short"),
], ids=["train", "sample"])
def test_a_process_of_its_own(here, arguments, message):
    done = subprocess.run([sys.executable, "-m", "fastrnn", *arguments], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fastrnn: error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1

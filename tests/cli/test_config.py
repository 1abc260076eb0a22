"""`fastrnn train --config`, and the files that `fastrnn info --toml` writes."""
import tomllib

import numpy as np
import pytest
from runs import classic, classic_command

import fastrnn
from fastrnn import cli
from fastrnn.settings import TrainSettings, declared

TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)

    def call(*arguments, **files):
        for name, text in files.items():
            (tmp_path / f"{name}.toml").write_text(text)
        try:
            code = cli.main(classic_command(arguments))
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()
    return call


RUN = '''\
# a small model
file = "book.txt"
cell = "gru"
hidden_size = 7
seq_length = 5
clip_value = "none"
clip_norm = 1
learning_rate = 0.01
reset_after = false
updates = 20
dtype = "float64"
'''


def test_a_file_is_what_the_flags_are(call):
    assert call("train", "--config", "run.toml", "--no-progress", "--checkpoint", "m",
                run=RUN) [::2] == (0, "")
    model = classic(
        "book.txt", cell="gru", hidden_size=7, seq_length=5, clip_value=None, clip_norm=1,
        learning_rate=0.01, reset_after=False, updates=20, dtype="float64", progress=False)
    assert fastrnn.load("m").block.tobytes() == model.block.tobytes()


def test_a_flag_given_beside_the_file_wins(call):
    assert call("train", "--config", "run.toml", "--no-progress", "--checkpoint", "m", "--epochs",
                1, "--hidden-size", 4, "--reset-after", "--clip-value", 2, run=RUN)[0] == 0
    model = fastrnn.load("m")
    assert model.config["hidden_size"] == 4 and model.config["reset_after"] is True
    assert len(model.history) == 139  # of one epoch, not the 20 updates of the file
    assert call("train", "--config", "run.toml", "--no-progress", "--checkpoint", "m2", "--dataset",
                "nothing", run=RUN)[2].startswith("fastrnn: error: no data set is called")


BAD = [
    ("hiden_size = 3", "line 1: no setting is called 'hiden_size': did you mean 'hidden_size'?"),
    ('\n\nhidden_size = "3"', "line 3: hidden_size must be a whole number, not '3'"),
    ("hidden_size = 3.5", "line 1: hidden_size must be a whole number, not 3.5"),
    ("hidden_size = true", "line 1: hidden_size must be a whole number, not True"),
    ("learning_rate = 'fast'", "line 1: learning_rate must be a number, not 'fast'"),
    ("cell = 'rnn'\nhidden_size = 0", "line 2: hidden_size must be a whole number of at least 1"),
    ("dropout = 1.0", "line 1: dropout must be at least 0 and below 1"),
    ("cell = 'lstn'", "line 1: cell must be one of"),
    ("cell = 3", "line 1: cell must be a text in quotes, not 3"),
    ("accuracy = 1", "line 1: accuracy must be true or false, not 1"),
    ("labels = 'a'", "line 1: labels must be a list of texts, not 'a'"),
    ("dropout = nan", "line 1: dropout must be a finite number, not nan"),
    ("hidden_size = 'none'", "line 1: hidden_size must be a whole number, not 'none'"),
    ("callback = 'print'", "line 1: no setting is called 'callback'"),
    ("[train]\ncell = 'rnn'", "line 1: no setting is called 'train'"),
    ("too_long = 'chop'", "line 1: too_long must be one of"),
    ("columns = [0, 1]", "line 1: columns must be a list of texts, not [0, 1]"),
    ("columns = 3", "line 1: columns must be a list of texts, not 3"),
    ("cell = ", "run.toml is not TOML: Invalid value (at "),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[row[0][:20] for row in BAD])
def test_bad_files(call, text, message):
    code, out, err = call("train", "book.txt", "--config", "run.toml", run=text)
    assert (code, out) == (2, "")
    assert err.startswith("fastrnn: error: run.toml") and message in err
    assert err.count("\n") == 1


def test_no_such_file(call):
    code, out, err = call("train", "book.txt", "--config", "missing.toml")
    assert (code, out) == (2, "") and "no file 'missing.toml'" in err


@pytest.mark.parametrize("flags", [
    ["--cell", "lstm", "--num-layers", 2, "--dropout", 0.2, "--optimizer", "adam", "--clip-value",
     "none", "--epochs", 2],
    ["--unit", "word", "--embedding-size", 3, "--split", "space", "--updates", 9],
    ["--cell", "esn", "--density", 0.5, "--spectral-radius", 0.7, "--updates", 12],
    ["--unit", "bpe", "--vocabulary-size", 262, "--updates", 9]])
def test_a_checkpoint_tells_the_file_that_makes_it_again(call, tmp_path, flags):
    if "bpe" in flags:
        pytest.importorskip("tokenizers")
    assert call("train", "book.txt", "--hidden-size", 9, "--seq-length", 6, *flags, "--no-progress",
                "--checkpoint", "one")[0] == 0
    code, text, err = call("info", "one", "--toml")
    assert (code, err) == (0, "")
    names = set(tomllib.loads(text))
    assert names <= set(declared(TrainSettings)) | {
        "unit", "split", "lower", "vocabulary_size"}
    assert {"cell", "hidden_size", "seq_length", "optimizer"} <= names
    assert call("train", "book.txt", "--config", "again.toml", "--no-progress", "--checkpoint",
                "two", again=text) [::2] == (0, "")
    one, two = fastrnn.load("one"), fastrnn.load("two")
    assert one.block.tobytes() == two.block.tobytes()
    assert one.config == two.config


def test_records_too(call, tmp_path):
    (tmp_path / "names.tsv").write_text("".join(f"n{i % 7}ab\tlabel{i % 2}\n" for i in range(40)))
    assert call("train", "--table", "names.tsv", "--cell", "lstm", "--hidden-size", 5, "--epochs",
                2, "--no-progress", "--checkpoint", "one")[0] == 0
    text = call("info", "one", "--toml")[1]
    assert tomllib.loads(text)["labels"] == ["label0", "label1"]
    assert call("train", "--table", "names.tsv", "--config", "again.toml", "--no-progress",
                "--checkpoint", "two", again=text)[0] == 0
    assert fastrnn.load("one").block.tobytes() == fastrnn.load("two").block.tobytes()


@pytest.mark.parametrize("seq_length", [None, 20])
def test_sequences_too(call, seq_length):
    """Read whole, and in windows."""
    series = fastrnn.Sequences.from_series(np.sin(np.arange(300.0).reshape(6, 50).T).T.tolist())
    how = {} if seq_length is None else {"seq_length": seq_length, "batch_size": 4}
    one = classic(series, hidden_size=5, epochs=2, checkpoint="one", progress=False, **how)
    settings = tomllib.loads(call("info", "one", "--toml")[1])
    assert settings["seq_length"] == (seq_length or 49)
    settings = {name: None if value == "none" else value for name, value in settings.items()}
    again = fastrnn.train(series, progress=False, **settings)
    assert again.block.tobytes() == one.block.tobytes()


def test_toml_needs_a_model(call):
    assert call("info", "--toml")[2] == (
        "fastrnn: error: --toml prints the settings of a checkpoint: give MODEL\n")

"""Validation data of one's own, and which part of the data is held out."""

import numpy as np
import pytest
from runs import classic

import fastrnn
from fastrnn import cli
from fastrnn.data.source import split_rows
from fastrnn.files import store

rng = np.random.default_rng(3)
TEXT = "".join(rng.choice([*"abcdef \n"], 600))
NAMES = ["".join(rng.choice([*"abcd"], rng.integers(2, 7))) for _ in range(50)]
SERIES, IDS = rng.normal(size=(40, 7, 2)), rng.integers(0, 4, (40, 6))
SOURCES = {
    "text": fastrnn.Corpus.from_text(TEXT),
    "records": fastrnn.Corpus.from_records(NAMES),
    "labels": fastrnn.Corpus.from_records(NAMES, ["left", "right"] * 25),
    "numbers": fastrnn.Sequences(SERIES[:, :-1], SERIES[:, 1:]),
    "symbols": fastrnn.Sequences(IDS, IDS[:, ::-1].copy()),
}
SIZES = {"hidden_size": 6, "dtype": "float64", "batch_size": 4, "updates": 25, "valid_every": 6,
         "optimizer": "adam", "progress": False, "seed": 5}


@pytest.mark.parametrize("name", SOURCES)
def test_a_part_given_by_hand_is_the_part_held_out(name):
    """The same bits whether valid_fraction divides the data or the user does."""
    source = SOURCES[name]
    train, valid = source.hold_out(0.2, 5)
    whole = classic(source, **SIZES, valid_fraction=0.2)
    parts = classic(train, **SIZES, valid=valid)
    assert np.array_equal(whole.history.valid_loss, parts.history.valid_loss)
    assert np.array_equal(whole.block, parts.block) and np.array_equal(whole.state, parts.state)
    assert whole.history.valid_loss.size == 5  # and at the end
    if name != "text":  # which is scored from the states of training
        assert parts.score(valid) == pytest.approx(parts.history.valid_loss.min(), rel=1e-12)


def test_files_and_other_vocabularies(tmp_path):
    """A file is read with the training data's vocabulary, and a corpus translated to it."""
    corpus, other = SOURCES["text"], TEXT[100:250].replace("a", "b")
    path = tmp_path / "valid.txt"
    path.write_text(other)
    losses = [classic(corpus, **SIZES, valid=valid).history.valid_loss for valid in (
        path, str(path), fastrnn.Corpus.from_text(other),
        fastrnn.Corpus.from_text(other, vocabulary=corpus.vocabulary))]
    assert all(np.array_equal(losses[0], more) for more in losses[1:])
    assert len(fastrnn.Corpus.from_text(other).vocabulary) < len(corpus.vocabulary)

    path.write_text("\n".join(NAMES[:9]))
    losses = [classic(SOURCES["records"], **SIZES, valid=valid).history.valid_loss
              for valid in (path, fastrnn.Corpus.from_records(NAMES[:9]))]
    assert np.array_equal(*losses)

    words = fastrnn.Corpus.from_text("to be or not to be that is to be " * 20,
                                      "word", min_count=30)
    known, unknown = (classic(words, **SIZES, valid=fastrnn.Corpus.from_text(text, "word"))
                      for text in ("to be <unk> to be <unk> to be", "to be xx to be yy to be"))
    assert np.array_equal(known.history.valid_loss, unknown.history.valid_loss)


def test_what_is_no_validation_data(tmp_path):
    corpus, path = SOURCES["text"], tmp_path / "valid.txt"
    path.write_text(TEXT + "ßé")
    numbers, records = SOURCES["numbers"], SOURCES["records"]
    for source, valid, error, message in (
            (corpus, path, ValueError, "unknown|not in the vocabulary|'ß'"),
            (corpus, fastrnn.Corpus.from_text(TEXT + "ßé"), ValueError,
             "does not have: 'ß', 'é': leave them out, or train with a vocabulary of both"),
            (corpus, tmp_path / "none.txt", FileNotFoundError, "none.txt"),
            (corpus, records, ValueError, "same kind of data"),
            (corpus, numbers, ValueError, "numbers"),
            (records, corpus, ValueError, "same kind of data"),
            (numbers, corpus, ValueError, "made for sequences"),
            (numbers, str(path), TypeError, "valid must be Sequences"),
            (numbers, SOURCES["symbols"], ValueError, "this model has"),
            (SOURCES["labels"], str(path), TypeError, "from_table"),
            (SOURCES["labels"], records, ValueError, "needs labels"),
            (corpus, [TEXT], TypeError, "valid must be the path of a text, a Corpus or Sequences"),
            (corpus, fastrnn.Corpus([0], corpus.vocabulary), ValueError, "at least 2 symbols")):
        with pytest.raises(error, match=message):
            classic(source, **SIZES, valid=valid)
    with pytest.raises(ValueError, match="give one of valid and valid_fraction"):
        classic(corpus, **SIZES, valid=corpus, valid_fraction=0.1)
    with pytest.raises(ValueError, match="valid_every needs a valid_fraction.* or validation data"):
        classic(corpus, **SIZES)
    with pytest.raises(ValueError, match="valid_split must be 'end' for a text, not 'random'"):
        classic(corpus, **SIZES, valid_fraction=0.1, valid_split="random")


def test_what_is_chosen_leaves_the_training_data_whole():
    settings = {"hidden_size": 6, "updates": 5, "progress": False}
    model = fastrnn.train(SOURCES["text"], valid=SOURCES["text"], **settings)
    assert model.history.valid_loss.size == 1
    preset = fastrnn.train(SOURCES["text"], preset="torch-rnn", valid=SOURCES["text"],
                           seq_length=5, **settings)  # of which a tenth is held out
    assert preset.history.valid_loss.size == 3  # after each epoch, and at the end


# ---- checkpoints ----

def test_a_run_goes_on_with_the_same_validation_data_only(tmp_path):
    path, source = tmp_path / "m.safetensors", SOURCES["numbers"]
    valid, other = source[:7], source[1:8]
    whole = classic(source, **SIZES, valid=valid)
    classic(source, **SIZES | {"updates": 11}, valid=valid, checkpoint=path)
    stored = store.read(path)[1]["trainer"]
    assert stored["valid"] == {"name": "sequences", "fingerprint": valid.fingerprint()}
    assert "valid" not in stored["config"]
    resumed = fastrnn.train(source, resume=path, updates=25, valid=valid, progress=False,
                            checkpoint=tmp_path / "n.safetensors")
    assert np.array_equal(resumed.block, whole.block)
    repeated = fastrnn.train(source, repeat=path, valid=valid, progress=False)
    assert np.array_equal(repeated.history.loss, whole.history.loss[:11])
    for way in ("resume", "repeat"):
        with pytest.raises(ValueError, match="validated on 'sequences': valid must be that data"):
            fastrnn.train(source, **{way: path}, progress=False)
        with pytest.raises(ValueError, match="is not the same: valid must be the same data"):
            fastrnn.train(source, **{way: path}, valid=other, progress=False)
    classic(source, **SIZES, valid_fraction=0.2, checkpoint=path)
    with pytest.raises(ValueError, match="without validation data of its own: leave valid out"):
        fastrnn.train(source, resume=path, valid=other, progress=False)
    assert fastrnn.load(path).history.valid_loss.size == 5


@pytest.mark.parametrize("wrong", [5, [], {"name": "x"}, {"name": "x", "fingerprint": 3}])
def test_a_file_with_no_validation_data_in_their_place_is_damaged(tmp_path, wrong):
    path, source = tmp_path / "m.safetensors", SOURCES["numbers"]
    classic(source, **SIZES, valid=source[:7], checkpoint=path)
    tensors, about = store.read(path)
    about["trainer"]["valid"] = wrong
    store.write(path, tensors, about)
    with pytest.raises(ValueError, match="m.safetensors"):
        fastrnn.load(path)


@pytest.mark.parametrize("name", ["numbers", "records", "text"])
def test_a_file_without_the_split_goes_on_as_it_began(tmp_path, name):
    """Before format 7 the end of sequences was held out, and random records."""
    path, source = tmp_path / "m.safetensors", SOURCES[name]
    split = "random" if name == "records" else "end"
    how = SIZES | {"valid_fraction": 0.2}
    whole = classic(source, **how, valid_split=split)
    classic(source, **how | {"updates": 11}, valid_split=split, checkpoint=path)
    tensors, about = store.read(path)
    assert about["trainer"]["config"].pop("valid_split") == split
    del about["trainer"]["valid"]
    store.write(path, tensors, about)
    resumed = fastrnn.train(source, resume=path, updates=25, progress=False)
    assert np.array_equal(resumed.block, whole.block)
    assert store.read(path)[1]["trainer"]["config"]["valid_split"] == split


# ---- which part is held out ----

def test_sequences_are_held_out_at_random():
    source = SOURCES["numbers"]
    train, valid = source.hold_out(0.25, 1)
    assert len(valid) == 10 and len(train) == 30
    rows = [row.tobytes() for row in source.inputs]
    of_train, of_valid = ([rows.index(row.tobytes()) for row in part.inputs]
                          for part in (train, valid))
    assert sorted(of_train + of_valid) == list(range(40))
    assert of_valid == sorted(of_valid) != list(range(30, 40))
    assert source.hold_out(0.25, 1)[1].fingerprint() == valid.fingerprint()
    assert source.hold_out(0.25, 2)[1].fingerprint() != valid.fingerprint()
    assert source.hold_out(0.25, 1, "end")[1].fingerprint() == source[30:].fingerprint()
    for name in ("records", "labels"):
        end = SOURCES[name].hold_out(0.2, 1, "end")[1]
        assert end.records.starts.tolist() == SOURCES[name].records.starts[40:].tolist()


@pytest.mark.parametrize("shuffled", [False, True])
def test_each_class_is_held_out_in_proportion(shuffled):
    """Sequences that are sorted by class: 75, 25, 8, and one of a class of its own."""
    y = np.repeat([0, 1, 2, 3], [75, 25, 8, 1])
    if shuffled:
        y = np.random.default_rng(0).permutation(y)
    mask = np.random.default_rng(1).random((109, 5)) < 0.6
    mask[:, 2] = True
    targets = np.where(mask, y[:, None], 3 - y[:, None])  # what does not count is no class
    source = fastrnn.Sequences(np.zeros((109, 5, 1)), targets, mask)
    for seed in range(20):
        train, valid = source.hold_out(0.25, seed)
        held = np.bincount(valid.targets[:, 2], minlength=4)
        assert held.sum() == len(valid) == round(0.25 * 109)
        assert (np.abs(held - 0.25 * np.array([75, 25, 8, 1])) < 1).all() and held[3] == 0
        assert len(train) + len(valid) == 109


def test_rows_that_are_split():
    """`count` rows in any case, of classes of one member or of several."""
    for n, count, classes in ((9, 3, np.arange(9)), (9, 8, np.zeros(9)), (4, 2, [0, 0, 1, 1]),
                              (7, 3, [0] * 6 + [1]), (2, 1, [5, 9])):
        train, valid = split_rows(n, count, "random", 0, np.array(classes))
        assert len(valid) == count and sorted([*train, *valid]) == list(range(n))
    assert split_rows(4, 2, "random", 0, np.array([0, 0, 1, 1]))[1].tolist() not in (
        [0, 1], [2, 3])
    with pytest.raises(ValueError, match="is 0 of the 40 sequences"):
        SOURCES["symbols"].hold_out(0.01, 0)
    with pytest.raises(ValueError, match="leaves none of the 40 sequences"):
        SOURCES["symbols"].hold_out(0.99, 0)


# ---- the command line ----

@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    (tmp_path / "other.txt").write_text(TEXT[50:200])
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    (tmp_path / "more.txt").write_text("\n".join(NAMES[:7]))
    for name, rows in (("table.tsv", NAMES), ("rest.tsv", NAMES[:8])):
        (tmp_path / name).write_text("".join(f"{i % 2}\t{text}\n" for i, text in enumerate(rows)))
    return tmp_path


def command(*arguments):
    return cli.main([*map(str, arguments)])


@pytest.mark.parametrize(("data", "valid"), [
    (["book.txt"], "other.txt"), (["--records", "names.txt"], "more.txt"),
    (["--table", "table.tsv", "--columns", "1", "0"], "rest.tsv")])
def test_a_file_for_validation(here, capsys, data, valid):
    assert command("train", *data, "--valid", valid, "--preset", "classic", "--updates", 20,
                   "--hidden-size", 5, "--no-progress", "--checkpoint", "m") == 0
    assert "the lowest, after" in capsys.readouterr().out
    tensors, about = store.read("m.safetensors")
    stored = about["trainer"]
    assert stored["valid"]["name"] == valid and stored["config"]["valid_fraction"] == 0
    model = fastrnn.load("m.safetensors")
    vocabulary = model.vocabulary
    expected = (fastrnn.Corpus.from_file(valid, vocabulary=vocabulary) if len(data) == 1 else
                fastrnn.Corpus.from_lines(valid, vocabulary=vocabulary) if len(data) == 2 else
                fastrnn.Corpus.from_table(valid, (1, 0), vocabulary=vocabulary))
    assert stored["valid"]["fingerprint"] == expected.fingerprint()
    assert command("info", "m.safetensors") == 0
    rows = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert ["validation", "data", valid] in rows
    again = ["train", *data, "--resume", "m.safetensors", "--updates", 30, "--no-progress"]
    assert command(*again) == 2
    assert f"was validated on '{valid}': --valid must be that data again" in capsys.readouterr().err
    assert command(*again, "--valid", valid) == 0


def test_flags_that_contradict_each_other(here, capsys):
    assert command("train", "book.txt", "--valid", "other.txt", "--valid-fraction", 0.1) == 2
    assert "give one of --valid and --valid-fraction" in capsys.readouterr().err
    assert command("train", "book.txt", "--valid", "none.txt", "--no-progress") == 2
    assert "none.txt" in capsys.readouterr().err
    assert not list(here.glob("*.safetensors"))


def test_the_block_before_a_run_tells_the_validation_data(capsys):
    for settings, words in (({"valid": SOURCES["numbers"][:5]}, "; sequences for validation"),
                            ({"valid_fraction": 0.2}, "a random 20 % of it for validation"),
                            ({"valid_fraction": 0.2, "valid_split": "end"}, "; 20 % of it for")):
        fastrnn.train(SOURCES["numbers"], preset="classic", hidden_size=3, updates=2, **settings)
        shown = capsys.readouterr()
        assert words in " ".join((shown.out + shown.err).split())

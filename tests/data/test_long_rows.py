"""A record or sequence that is much longer than the others has an update of its own: against
updates by hand, its memory, runs that go on, and what is said about it.

The limits of the package are lowered, so that 80 steps are long.
"""
import re
import warnings

import numpy as np
import pytest
from runs import classic

import fastrnn
from fastrnn import Corpus, Sequences
from fastrnn.cli import main
from fastrnn.data import source
from fastrnn.data.source import usual_and_alone
from fastrnn.files import store

NAMES = ("anna ben carla dora emil fritz gustav hanna ida jan karl lea maria nora olga paul "
         "quentin rosa sara tom ute vera willi xenia yara zoe ab bo cleo").split()
LONG = "ab cd\x1b[31m " * 9  # 99 characters, some of which a terminal would obey
AT = 11  # its place


@pytest.fixture
def low(monkeypatch):
    monkeypatch.setattr(source, "ALONE", 200)


def corpus_of(labelled=True, **settings):
    texts = [*NAMES[:AT], LONG, *NAMES[AT:]]
    labels = ["Chile" if i % 3 else "Iran" for i in range(len(texts))] if labelled else None
    return Corpus.from_records(texts, labels, **settings)


def sequences_of(numbers):
    """18 sequences of 3 to 7 steps and one of 60, padded; not every step counts."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 8, 19)
    lengths[4] = 60
    mask = rng.random((19, 60)) < 0.8
    mask[:, :3] = True
    if numbers:
        return Sequences(rng.normal(size=(19, 60, 2)), rng.normal(size=(19, 60, 3)), mask, lengths)
    return Sequences(rng.integers(5, size=(19, 60)), rng.integers(5, size=(19, 60)), mask, lengths)


def quietly(make, *arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return make(*arguments, **settings)


def trainer_of(data, model=None, **settings):
    how = {"cell": "gru", "hidden_size": 7, "dtype": "float64"}
    model = model or fastrnn.Model(data.vocabulary or data.sizes,
                                   labels=list(data.labels) or None, **how)
    return quietly(fastrnn.Trainer, model, data, **{
        "optimizer": "adam", "learning_rate": 0.01, "batch_size": 4, "clip_value": None,
        "epochs": 3, "progress": False} | settings)


def rows_of(trainer):
    """The rows of the next update: starts, lengths and labels of those that are not empty."""
    starts, lengths, labels = trainer._updates.rows(1)
    return [(starts[n], lengths[n], None if labels is None else labels[n])
            for n in np.flatnonzero(lengths)]


def test_the_rule():
    def alone(steps, batch_size, how="alone"):
        usual, found = usual_and_alone(steps, {"batch_size": batch_size, "long_rows": how})
        assert np.sort(np.concatenate([usual, found])).tolist() == list(range(len(steps)))
        return found.tolist()

    steps = np.full(200, 140)
    steps[[3, 50]] = 10_000, 700
    assert alone(steps, 64) == [3]  # 64 x 700 steps are no harm
    assert alone(steps, 128) == [3, 50]
    assert alone(steps, 6) == alone(steps * 1000, 1) == []
    assert alone(steps, 64, "together") == []
    steps[:10] = 10_000  # five of a hundred: these are usual here
    assert alone(steps, 64) == []
    for n in (2, 3, 20):
        few = np.append(np.full(n - 1, 10), 90_000)
        assert alone(few, 2) == [n - 1]


@pytest.mark.parametrize("labelled", [True, False])
def test_records_by_hand(low, labelled):
    """Its gradient and its loss have the weight that they have in a batch of 4."""
    corpus = corpus_of(labelled)
    trainer = trainer_of(corpus)
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=7, dtype="float64",
                          labels=list(corpus.labels) or None)
    rule = fastrnn.optim.Adam(model.params, 0.01)
    losses, seen, alone = [], [], []
    for update in range(2 * 9):
        rows = rows_of(trainer)
        count = len(rows)
        if any(length > 50 for _, length, _ in rows):
            assert len(rows) == 1
            alone.append(update)
            count = 4
        sums, total = dict.fromkeys(model.params, 0.0), 0.0
        for start, length, label in rows:
            ids = corpus.ids[start : start + length + 1][None]
            seen.append(int(np.flatnonzero(corpus.records.starts == start)[0]))
            loss, grads, _ = model.loss_and_gradients(
                ids[:, :-1], ids[:, 1:], labels=None if label is None else corpus.labels[label])
            total += loss / count
            sums = {name: sums[name] + g / count for name, g in grads.items()}
        rule.step(sums)
        losses.append(total)
        trainer.run(updates=1)
    assert np.allclose(trainer.history.loss, losses, rtol=1e-11)
    assert np.allclose(trainer.model.block, model.block, atol=1e-11)
    assert sorted(seen[:30]) == sorted(seen[30:]) == list(range(30))
    assert (trainer.epoch, trainer.updates_per_epoch) == (2, 9)  # 8 of 29 by 4, and 1
    assert len(alone) == 2 and alone[0] < 9 <= alone[1] and alone[1] - alone[0] != 9
    smooth = losses[0]
    for loss in losses[1:]:
        smooth = 0.999 * smooth + 0.001 * loss
    assert trainer.history.smooth_loss[-1] == pytest.approx(smooth, rel=1e-12)


@pytest.mark.parametrize("numbers", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_sequences_by_hand(low, numbers, weighted):
    data = sequences_of(numbers)
    if weighted:
        data = Sequences(data.inputs, data.targets, data.mask, data.lengths, weights=np.abs(
            np.random.default_rng(1).normal(size=data.mask.shape)))
    how = {"cell": "lstm", "hidden_size": 6, "dtype": "float64", "seed": 2}
    trainer = trainer_of(data, fastrnn.Model(data.sizes, **how), optimizer="sgd", batch_size=5)
    model, before = fastrnn.Model(data.sizes, **how), trainer.model.block.copy()
    assert (model.block == before).all()
    scaled = data.scaled(trainer.model.scaling) if numbers else data
    seen = []
    for _ in range(5):
        rows = [int(start) // 60 for start, _, _ in rows_of(trainer)]
        seen += rows
        weight = 1 / 5 if rows == [4] else 1 / len(rows)
        sums = dict.fromkeys(model.params, 0.0)
        for row in rows:
            T = int(data.ends[row])
            part = slice(row, row + 1)
            more = {} if data.weights is None else {"weights": scaled.weights[part, :T]}
            _, grads, _ = model.loss_and_gradients(
                scaled.inputs[part, :T], scaled.targets[part, :T], mask=data.mask[part, :T], **more)
            sums = {name: sums[name] + weight * g for name, g in grads.items()}
        for name, p in model.params.items():
            p -= 0.01 * sums[name]
        trainer.run(updates=1)
    assert np.allclose(trainer.model.block, model.block, atol=1e-11)
    assert sorted(seen) == list(range(19)) and trainer.epoch == 1
    with pytest.warns(UserWarning, match="sequence 4 has 60 steps, far more than.*, cut them"):
        fastrnn.Trainer(fastrnn.Model(data.sizes, **how), data, batch_size=5)


def test_balanced_records(low):
    """In every epoch once; the others with each label as often."""
    trainer = trainer_of(corpus_of(), balance="labels")
    for _ in range(2):
        lengths, labels = [], []
        for _ in range(trainer.updates_per_epoch):
            for _, length, label in rows_of(trainer):
                lengths.append(length)
                labels += [] if length > 50 else [label]
            trainer.run(updates=1)
        assert sum(length > 50 for length in lengths) == 1
        assert abs(np.bincount(labels)[0] - np.bincount(labels)[1]) <= 1


@pytest.mark.usefixtures("many_cores")
def test_the_same_bits_in_pieces_and_threads(low, tmp_path):
    """Resumed before and after the long record, one update at a time, repeated, on more threads."""
    corpus, path = corpus_of(), tmp_path / "m.safetensors"
    how = {"cell": "lstm", "hidden_size": 12, "num_layers": 2, "dropout": 0.3, "batch_size": 4,
           "epochs": 3, "progress": False, "seed": 3, "optimizer": "rmsprop",
           "valid_fraction": 0.2, "sample_every": 0}
    whole = quietly(classic, corpus, **how, threads=1)
    for threads in (2, 3):
        again = quietly(classic, corpus, **how, threads=threads, checkpoint=path)
        assert (again.block == whole.block).all()
        assert (again.history.loss == whole.history.loss).all()
    repeated = quietly(fastrnn.train, corpus, repeat=path, progress=False)
    assert (repeated.block == whole.block).all()
    for stop in range(1, 10):
        def at(trainer, stop=stop):
            return trainer.update >= stop
        quietly(classic, corpus, **how, checkpoint=path, callback=at, callback_every=1)
        resumed = quietly(fastrnn.train, corpus, resume=path, progress=False)
        assert len(resumed.history) == len(whole.history)
        assert (resumed.history.loss == whole.history.loss).all()
        assert (resumed.block == whole.block).all()


def test_others_keep_their_bits(monkeypatch):
    """Whether a run has a long record is all that the limits change."""
    corpus = Corpus.from_records(NAMES)
    found = []
    for limit in (1, 2**16):
        monkeypatch.setattr(source, "ALONE", limit)
        found.append(classic(corpus, batch_size=4, hidden_size=5, epochs=2, progress=False))
    assert (found[0].block == found[1].block).all()


def test_runs_of_earlier_files(low, tmp_path):
    """They read the long record in a batch, and go on so; others may too."""
    how = {"batch_size": 4, "hidden_size": 5, "progress": False, "sample_every": 0}
    corpus, path = corpus_of(), tmp_path / "m.safetensors"
    together = classic(corpus, **how, epochs=2, long_rows="together")
    assert len(together.history) == 2 * 8
    classic(corpus, **how, updates=11, long_rows="together", checkpoint=path)
    tensors, about = store.read(path)
    assert about["trainer"]["config"].pop("long_rows") == "together"
    store.write(path, tensors, about)
    resumed = classic(corpus, resume=path, epochs=2, progress=False)
    assert (resumed.block == together.block).all()
    assert len(quietly(classic, corpus, **how, epochs=2).history) == 2 * 9


def test_memory():
    """With the package's own limits: 64 short records by one of 10,000 symbols take less than
    twice the memory, in place of 70 times."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice([*"abcdefgh "], int(n))) + "." for n in rng.integers(20, 140, 300)]
    sizes = []
    for more in ([], ["long tweet " * 909]):
        corpus = Corpus.from_records(texts + more)
        model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=128)
        trainer = quietly(fastrnn.Trainer, model, corpus, batch_size=64, epochs=1, accuracy=True,
                          progress=False)
        trainer.run(updates=1)
        sizes.append(sum(network.nbytes for network in model._networks.values()))
        for batch in corpus.batches(np.dtype("float32")):  # validation and scoring
            assert batch.steps * batch.N <= source.ROWS
    assert sizes[1] < 2.5 * sizes[0]
    data = Sequences(np.zeros((300, 9000), int), np.zeros((300, 9000), int),
                     lengths=[9000] + [50] * 299)
    model = fastrnn.Model(data.sizes, cell="lstm", hidden_size=128)
    quietly(fastrnn.Trainer, model, data, batch_size=64)
    assert sum(network.nbytes for network in model._networks.values()) < 2 * sizes[0]


def test_it_is_said(low, tmp_path, capsys):
    corpus = corpus_of(name="names.txt")
    with pytest.warns(UserWarning) as told:
        classic(corpus, batch_size=4, updates=2, hidden_size=5, progress=False)
    message, = (str(one.message) for one in told if "far more" in str(one.message))
    assert message.startswith(r"names.txt: record 11 ('ab cd\x1b[31m ab cd\x1b[31m ab cd\x1b[31m "
                              r"ab cd\x1b[' ...) has 99 chars, far more than the rest, and is read")
    assert message.endswith("memory: if a line end is missing there, mend it, or give a max_length")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*far more")
        classic(corpus, batch_size=1, updates=2, hidden_size=5, progress=False)
        classic(Corpus.from_records(NAMES), batch_size=4, updates=2, hidden_size=5, progress=False)
    (tmp_path / "names.txt").write_text("\n".join([*NAMES, LONG]))
    path = str(tmp_path / "m.safetensors")
    assert main(["train", "--records", str(tmp_path / "names.txt"), "--checkpoint", path,
                 "--batch-size", "4", "--epochs", "1", "--hidden-size", "5", "--no-progress"]) == 0
    notes = re.findall("fastrnn: note: names.txt: record 29 .*", capsys.readouterr().err)
    assert len(notes) == 1 and notes[0].endswith("or give a --max-length")


def test_divergence_in_the_long_record(low):
    """Only it has an ESC: the error is that of its update, with its own loss."""
    corpus = corpus_of(labelled=False)
    trainer = trainer_of(corpus)
    model = trainer.model
    model.params["head.b"][corpus.vocabulary.symbols.index("\x1b")] = -1e5
    with pytest.raises(fastrnn.DivergenceError) as raised:
        trainer.run()
    assert trainer.update == 0  # its last good state
    trainer = trainer_of(corpus)
    trainer.run(updates=raised.value.update - 1)
    assert rows_of(trainer)[0][1] == len(LONG) + 1
    assert raised.value.loss == pytest.approx(model.score(LONG), rel=1e-4)


def test_scores(low):
    """Of long and short records together, and one by one."""
    corpus = corpus_of(labelled=False)
    model = trainer_of(corpus).model
    each = [model.surprisal(text) for text in [*NAMES, LONG]]
    assert model.score(corpus) == pytest.approx(np.concatenate(each).mean(), rel=1e-12)


@pytest.mark.parametrize("numbers", [True, False])
def test_scores_of_sequences(monkeypatch, numbers):
    """A long one is scored by itself, the others in batches that are not padded to its length."""
    data = sequences_of(numbers)
    model = trainer_of(data).model
    found = []
    for limit in (2**16, 1000):
        monkeypatch.setattr(source, "ALONE", limit)
        batches = list(data.batches(np.dtype("float64")))
        found.append((model.score(data), model.accuracy(data, last=2) if not numbers else 0))
    assert [(batch.steps, batch.N) for batch in batches] == [
        (data.ends[data.ends < 50].max(), 18), (data.ends[4], 1)]
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(19))
    assert found[0] == pytest.approx(found[1], rel=1e-12)

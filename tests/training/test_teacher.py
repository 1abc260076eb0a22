"""Training with a teacher: the gradient by finite differences, what the teacher says at each step,
checkpoints, and what is refused."""
import re

import numpy as np
import pytest
from networks import random_model
from scipy.special import log_softmax, softmax

import fastrnn
from fastrnn.cli import main

K, H, T, N = 5, 3, 4, 2
TEXT = "the quick brown fox jumps over the lazy dog. " * 40
NAMES = [("anna", "x"), ("bo", "y"), ("cara", "x"), ("dan", "y"), ("eve", "y"), ("fay", "x")] * 4


def a_corpus(model, length=60):
    ids = np.random.default_rng(3).integers(0, K, length)
    return fastrnn.Corpus.from_text(model.vocabulary.decode(ids), vocabulary=model.vocabulary)


def scores(model, ids, state):
    """Scores (N, T, K) of the head after ids (N, T), from a state (N, P)."""
    out = np.empty((*ids.shape, K))
    model.network(ids.shape[1], len(ids)).unroll(
        model.block, np.ascontiguousarray(ids.T, np.int32), state.copy(), out=out)
    return out


@pytest.mark.parametrize("weight", [0.3, 1.0])
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_the_gradient_is_that_of_the_mixed_cross_entropy(kind, weight):
    """Of the second window, from a state that is not zero, by finite differences in float64."""
    model, teacher = random_model(kind, "float64", K, H), random_model("gru", "float64", K, 4, 7)
    corpus, before = a_corpus(model), None
    trainer = fastrnn.Trainer(
        model, corpus, seq_length=T, batch_size=N, optimizer="sgd", learning_rate=0.01,
        clip_value=None, teacher=teacher, teacher_weight=weight, progress=False, updates=2)
    trainer.run(updates=1)
    before, state = model.block.copy(), trainer.state.copy()
    trainer.run(updates=1)
    stepped = (before - model.block) / 0.01
    rows = corpus.ids.reshape(N, -1)
    ids, targets = rows[:, T : 2 * T].astype(int), rows[:, T + 1 : 2 * T + 1].astype(int)
    read = softmax(scores(teacher, corpus.ids[None].astype(int), teacher.zero_state()), axis=2)
    read = read.reshape(N, -1, K)[:, T : 2 * T]
    wanted = weight * read + (1 - weight) * np.eye(K)[targets]

    def loss(block):
        model.block[:] = block
        return -(wanted * log_softmax(scores(model, ids, state), axis=2)).sum() / N

    for i in range(model.block.size):
        step = np.zeros_like(before)
        step[i] = 1e-5
        slope = (loss(before + step) - loss(before - step)) / 2e-5
        assert stepped[i] == pytest.approx(slope, rel=1e-5, abs=1e-8), i


def test_the_teacher_reads_a_text_in_streams_and_losses_are_those_of_the_text():
    corpus = fastrnn.Corpus.from_text(TEXT)
    teacher = fastrnn.train(corpus, hidden_size=12, updates=20, seed=4, progress=False)
    how = {"hidden_size": 7, "batch_size": 2, "seq_length": 9, "updates": 30, "progress": False,
           "cell": "lstm", "seed": 1, "valid_fraction": 0, "optimizer": "adam"}
    taught = fastrnn.train(corpus, teacher=teacher, teacher_weight=0.7, **how)
    plain = fastrnn.train(corpus, **how)
    assert taught.history.loss[0] == plain.history.loss[0]  # before the first step
    assert not np.array_equal(taught.block, plain.block)
    alone = fastrnn.train(corpus, teacher=teacher, teacher_weight=0, **how)
    assert np.array_equal(alone.block, plain.block)


@pytest.mark.parametrize("order", ["stream", "shuffled"])
def test_a_text_is_read_by_the_teacher_with_its_state_carried(order):
    corpus = fastrnn.Corpus.from_text(TEXT)
    teacher = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=6, seed=5,
                            init="uniform", init_scale=0.5)
    student = fastrnn.Model(corpus.vocabulary, hidden_size=3)
    trainer = fastrnn.Trainer(student, corpus, teacher=teacher, order=order, progress=False)
    found = trainer._reading.arrays["teacher"]
    assert found.shape == (len(corpus.ids), len(corpus.vocabulary))
    ends = np.linspace(0, len(TEXT), len(TEXT) // 256 + 1).astype(int)
    for start, end in zip(ends, ends[1:], strict=False):
        expected = teacher.predict(corpus.ids[None, start:end])[0]
        assert np.allclose(found[start:end], expected, atol=1e-6)


def test_records_are_read_each_from_the_zero_state_with_their_labels():
    corpus = fastrnn.Corpus.from_records([n for n, _ in NAMES], labels=[c for _, c in NAMES])
    models = [fastrnn.Model(corpus.vocabulary, cell=cell, hidden_size=6, labels=["x", "y"],
                            init="uniform", init_scale=0.8) for cell in ("gru", "rnn")]
    student = fastrnn.Model(corpus.vocabulary, hidden_size=3, labels=["x", "y"])
    teacher = fastrnn.average(models, weights=[0.25, 0.75])
    trainer = fastrnn.Trainer(student, corpus, teacher=teacher, batch_size=3, progress=False)
    arrays, rows = trainer._reading.arrays, trainer._reading.order(np.random.default_rng(0))
    assert len({*rows[1]} - {0}) > 1 and len({*rows[2]}) == 2  # lengths, labels
    for start, length, label in zip(*rows[:3], strict=True):
        if not length:
            continue
        ids = arrays["ids"][start : start + length + 1].astype(int)
        losses = -np.log(arrays["teacher"][start : start + length][np.arange(length), ids[1:]])
        text = corpus.vocabulary.decode(ids[1:-1])
        assert losses == pytest.approx(teacher.surprisal(text, "xy"[label]), rel=1e-4)


def test_threads_and_resuming_change_no_bit(tmp_path):
    corpus = fastrnn.Corpus.from_text(TEXT)
    teacher = fastrnn.train(corpus, hidden_size=12, updates=20, seed=4, progress=False)
    teacher.save(tmp_path / "teacher.safetensors")
    how = {"hidden_size": 7, "batch_size": 16, "seq_length": 9, "progress": False, "dropout": 0.3,
           "cell": "gru", "seed": 1, "teacher": teacher, "valid_fraction": 0,
           "schedule": "constant", "warmup": 0}
    one = fastrnn.train(corpus, threads=1, updates=20, **how)
    two = fastrnn.train(corpus, threads=2, updates=20, **how)
    path = tmp_path / "student.safetensors"
    fastrnn.train(corpus, updates=8, checkpoint=path, **how)
    with pytest.raises(ValueError, match="trained with the teacher 'a model': teacher must be"):
        fastrnn.train(corpus, resume=path, updates=20, progress=False)
    with pytest.raises(ValueError, match="teacher must be that model again"):
        fastrnn.train(corpus, resume=path, updates=20, progress=False, teacher=one)
    on = fastrnn.train(corpus, resume=path, updates=20, progress=False,
                       teacher=tmp_path / "teacher.safetensors")
    again = fastrnn.train(corpus, repeat=path, progress=False, teacher=teacher)
    assert np.array_equal(one.block, two.block) and np.array_equal(one.block, on.block)
    assert np.array_equal(one.block, again.block)
    plain = tmp_path / "plain.safetensors"
    fastrnn.train(corpus, hidden_size=7, updates=2, checkpoint=plain, progress=False)
    with pytest.raises(ValueError, match="trained without a teacher: leave teacher out"):
        fastrnn.train(corpus, resume=plain, updates=4, progress=False, teacher=teacher)


def sequences():
    x = np.random.default_rng(0).normal(size=(8, 5, 2))
    return fastrnn.Sequences(x, x[:, :, :1])


BAD = {
    "kind": (3, {}, TypeError, "teacher must be the file of a model, .* not int"),
    "file": ("none.safetensors", {}, OSError, "no file"),
    "weight": ("good", {"teacher_weight": 1.5}, ValueError, "teacher_weight must be at most 1"),
    "loss": ("good", {"loss": "binary_cross_entropy"}, ValueError, "leave teacher out"),
    "symbols": ("other", {}, ValueError, "other symbols or labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_teach(case):
    given, more, kind, message = BAD[case]
    corpus = fastrnn.Corpus.from_text(TEXT)
    teachers = {"good": fastrnn.Model(corpus.vocabulary, hidden_size=3),
                "other": fastrnn.Model(fastrnn.Vocabulary("abc"), hidden_size=3)}
    with pytest.raises(kind, match=message):
        fastrnn.train(corpus, teacher=teachers.get(given, given), hidden_size=4, updates=1,
                      progress=False, **more)


def test_sequences_have_no_teacher():
    model = fastrnn.Model(sequences().sizes, hidden_size=3)
    with pytest.raises(ValueError, match="a teacher is for models of texts or records"):
        fastrnn.train(sequences(), teacher=model, hidden_size=4, updates=1, progress=False)


def test_the_flag(tmp_path, capsys):
    (tmp_path / "text.txt").write_text(TEXT)
    big, small = str(tmp_path / "big.safetensors"), str(tmp_path / "small.safetensors")
    how = ["--updates", "5", "--no-progress", "--hidden-size"]
    assert main(["train", str(tmp_path / "text.txt"), *how, "9", "--checkpoint", big]) == 0
    assert main(["train", str(tmp_path / "text.txt"), *how, "4", "--checkpoint", small,
                 "--teacher", big, "--teacher-weight", "0.9"]) == 0
    run = fastrnn.load(small).run
    assert run["config"]["teacher_weight"] == 0.9 and run["teacher"]["name"] == big
    capsys.readouterr()
    assert main(["train", str(tmp_path / "text.txt"), *how, "4", "--teacher", "none"]) == 2
    assert re.match("fastrnn: error: no file .*none", capsys.readouterr().err)

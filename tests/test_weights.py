"""Weights of steps, classes and records: losses, gradients, training, validation and score."""
import functools

import numpy as np
import pytest
from networks import wide
from runs import classic

import fastrnn
from fastrnn import nn
from fastrnn.checks import reference
from fastrnn.data.source import Sizes

N, T, K = 5, 6, 4
QUIET = {"progress": False, "valid_fraction": 0.0}


def windows(seed=0, numbers=False):
    """inputs, targets, mask, lengths, weights; some weights are 0."""
    rng = np.random.default_rng(seed)
    lengths = np.array([6, 3, 5, 6, 1])
    mask = rng.random((N, T)) < 0.8
    mask[:, 0] = True
    weights = rng.uniform(0, 3, (N, T)) * (rng.random((N, T)) < 0.8)
    if numbers:
        return rng.normal(size=(N, T, 2)), rng.normal(size=(N, T, 3)), mask, lengths, weights
    return rng.integers(0, K, (N, T)), rng.integers(0, K, (N, T)), mask, lengths, weights


def model_of(loss, dtype="float64"):
    sizes = (Sizes(input_size=2, output_size=3) if loss == "mean_squared_error" else
             Sizes(input_symbols=K, output_symbols=K))
    model = fastrnn.Model(sizes, cell="gru", hidden_size=7, num_layers=2, dtype=dtype, loss=loss)
    rng = np.random.default_rng(1)
    model.block[:] = rng.normal(0, 0.5, model.block.size)
    return model, rng.normal(0, 0.5, (N, 14)).astype(dtype)


TWINS = {"cross_entropy": reference.softmax_cross_entropy,
         "binary_cross_entropy": reference.binary_cross_entropy,
         "mean_squared_error": reference.mean_squared_error}
ALL_LOSSES = pytest.mark.parametrize("loss", TWINS)


@ALL_LOSSES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_twin(isa, loss, dtype):
    model, state = model_of(loss, dtype)
    x, y, mask, lengths, weights = windows(numbers=loss.startswith("mean"))
    factors = weights * mask * (np.arange(T) < lengths[:, None])
    expected, gradients, _ = reference.loss_and_gradients(
        wide(model.params), x, y, state.astype(float), "gru", mask=factors, loss=TWINS[loss])
    found, grads, _ = model.loss_and_gradients(x, y, state, mask=mask, lengths=lengths,
                                               weights=weights)
    limit = 1e-12 if dtype == "float64" else 2e-5
    assert found == pytest.approx(expected, rel=limit)
    for name, g in grads.items():
        np.testing.assert_allclose(g, gradients[name], rtol=0, err_msg=name,
                                   atol=limit * np.abs(gradients[name]).max())
    losses = model.losses(x, y, state, mask=mask, lengths=lengths)
    weighted = model.losses(x, y, state, mask=mask, lengths=lengths, weights=weights)
    np.testing.assert_allclose(weighted, losses * weights, rtol=1e-14)


@ALL_LOSSES
def test_gradients_are_slopes_of_the_losses(loss):
    model, state = model_of(loss)
    x, y, mask, _, weights = windows(2, numbers=loss.startswith("mean"))
    _, grads, _ = model.loss_and_gradients(x, y, state, mask=mask, weights=weights)
    rng = np.random.default_rng(3)
    for name, p in model.params.items():
        direction, start, ends = rng.normal(size=p.shape), p.copy(), []
        for step in (1e-5, -1e-5):
            p[:] = start + step * direction
            ends.append(model.losses(x, y, state, mask=mask, weights=weights).sum() / N)
        p[:] = start
        slope = (ends[0] - ends[1]) / 2e-5
        assert abs(slope) > 1e-6, name
        assert (grads[name] * direction).sum() == pytest.approx(slope, rel=1e-6, abs=1e-9), name


@ALL_LOSSES
def test_weights_of_1_change_no_bit_and_0_is_a_mask(isa, loss):
    for dtype in ("float32", "float64"):
        model, state = model_of(loss, dtype)
        x, y, mask, lengths, _ = windows(numbers=loss.startswith("mean"))
        ways = [model.loss_and_gradients(x, y, state, lengths=lengths, **how) for how in (
            {"mask": mask}, {"mask": mask, "weights": np.ones((N, T))}, {"weights": 1.0 * mask})]
        for loss_of, grads, last in ways[1:]:
            assert loss_of == ways[0][0] and last.tobytes() == ways[0][2].tobytes()
            assert all(g.tobytes() == ways[0][1][name].tobytes() for name, g in grads.items())


# ---- sequences ----

def sequences(seed=0, **more):
    x, y, mask, lengths, weights = windows(seed)
    return fastrnn.Sequences(x, y, mask, lengths, symbols=K, **{"weights": weights} | more), weights


def weighted_mean(model, source, weights):
    losses = model.losses(source.inputs, source.targets, mask=source.mask, lengths=source.lengths)
    return (losses * weights).sum() / (weights * source.mask).sum()


def test_the_weights_of_sequences_are_normalized():
    source, weights = sequences()
    assert source.weights[source.mask].mean() == pytest.approx(1)
    assert (source.weights[~source.mask] == 0).all()
    ratio = source.weights[source.mask & (weights > 0)] / weights[source.mask & (weights > 0)]
    np.testing.assert_allclose(ratio, ratio[0])
    part = source[[3, 1]]
    assert part.weights[part.mask].mean() == pytest.approx(1)
    np.testing.assert_allclose(part.weights[0] / part.weights[0].max(),
                               source.weights[3] / source.weights[3].max())
    fingerprints = {sequences(weights=given)[0].fingerprint() for given in (None, weights)}
    assert len(fingerprints) == 2


def test_the_score_is_a_weighted_mean():
    model, _ = model_of("cross_entropy")
    source, weights = sequences()
    assert model.score(source) == pytest.approx(weighted_mean(model, source, weights), rel=1e-12)
    assert model.score(source) == pytest.approx(model.score(sequences(weights=9 * weights)[0]))
    assert abs(model.score(source) - model.score(sequences(weights=None)[0])) > 0.003


def test_an_update_takes_the_weighted_gradient():
    source, weights = sequences()
    model, _ = model_of("cross_entropy")
    before = {name: p.copy() for name, p in model.params.items()}
    factors = weights * source.mask / weights[source.mask].mean()
    loss, gradients, _ = reference.loss_and_gradients(
        before, source.inputs.astype(int), source.targets.astype(int), np.zeros((N, 14)), "gru",
        mask=factors)
    trainer = fastrnn.Trainer(model, source, batch_size=N, optimizer="sgd", learning_rate=0.1,
                              clip_value=None, **QUIET)
    trainer.run(updates=1)
    assert trainer.history.loss[0] == pytest.approx(loss, rel=1e-12)
    for name, p in model.params.items():
        np.testing.assert_allclose(p, before[name] - 0.1 * gradients[name], rtol=0, atol=1e-13)
    assert trainer.history.loss[0] / trainer.history.seq_length == pytest.approx(
        weighted_mean(model_of("cross_entropy")[0], source, weights))


@pytest.mark.parametrize("classes", [[0.5, 3, 0, 1], {1: 3.0, 2: 0, 0: 0.5}, "balanced"], ids=str)
def test_class_weights_are_weights_of_the_targets(classes):
    source, weights = sequences(class_weights=classes)
    each = np.array([0.5, 3, 0, 1])
    if classes == "balanced":
        each = 1 / np.bincount(source.targets[source.mask], minlength=K)
    other, _ = sequences(weights=weights * each[source.targets])
    np.testing.assert_allclose(source.weights, other.weights, rtol=1e-14)
    if classes == "balanced":  # all classes weigh the same
        source = sequences(weights=None, class_weights="balanced")[0]
        totals = np.bincount(source.targets[source.mask], source.weights[source.mask])
        np.testing.assert_allclose(totals, totals[0])


def test_training_and_validation_with_weights(tmp_path):
    """Resumed bit for bit; the validation loss is the score of what was held out."""
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, K, (2, 40, T))
    source = fastrnn.Sequences(x, y, weights=rng.uniform(0, 2, (40, T)), symbols=K)
    settings = {"hidden_size": 6, "batch_size": 4, "dtype": "float64", "valid_fraction": 0.25,
                "progress": False, "seed": 2}
    whole = classic(source, **settings, updates=40, checkpoint=tmp_path / "whole")
    classic(source, **settings, updates=17, checkpoint=tmp_path / "part")
    resumed = classic(source, resume=tmp_path / "part", updates=40, progress=False)
    assert resumed.block.tobytes() == whole.block.tobytes()
    held_out = source.hold_out(0.25, 2)[1]
    last = fastrnn.load(tmp_path / "whole", best=False)
    assert whole.history.valid_loss[-1] == pytest.approx(last.score(held_out), rel=1e-12)
    with pytest.raises(ValueError, match="is not the same sequences"):
        classic(fastrnn.Sequences(x, y, symbols=K), resume=tmp_path / "part", progress=False)


def test_a_rare_class_that_counts_is_learned():
    """1 step in 10, of targets that inputs only hint at: without weights it is never said."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 10, 1))
    y = (x[..., 0] + rng.normal(size=(60, 10)) > 1.9).astype(int)
    found = []
    for weights in (None, np.where(y, 10.0, 1.0)):
        model = classic(fastrnn.Sequences(x, y, weights=weights), hidden_size=8, updates=400,
                        optimizer="adam", learning_rate=0.01, batch_size=20, seed=1, **QUIET)
        found.append((model.predict(x).argmax(axis=2) == 1)[y == 1].mean())
    assert found[0] < 0.3 < 0.7 < found[1]


# ---- records ----

TEXTS = ["anna", "bo", "carla", "dan", "eva", "ab"]
LABELS = ["x", "y", "x", "x", "y", "x"]


@functools.cache
def records():
    return fastrnn.Corpus.from_records(TEXTS, LABELS)


def test_a_record_twice_is_a_record_of_weight_2():
    corpus = records()
    model = fastrnn.Model(corpus.vocabulary, hidden_size=5, labels=["x", "y"], dtype="float64",
                          init_scale=0.5)
    weighted = corpus.weighted([1, 2, 1, 1, 3, 1])
    more = fastrnn.Corpus.from_records([*TEXTS, "bo", "eva", "eva"], [*LABELS, "y", "y", "y"],
                                       vocabulary=corpus.vocabulary)
    assert model.score(weighted) == pytest.approx(model.score(more), rel=1e-13)
    assert abs(model.score(corpus) - model.score(more)) > 1e-3
    # the gradient of one update with all of them
    blocks = []
    for source, rate in ((weighted, 0.1), (more, 0.1)):
        other = model.copy()
        trainer = fastrnn.Trainer(other, source, batch_size=len(source.records), optimizer="sgd",
                                  learning_rate=rate, clip_value=None, **QUIET)
        trainer.run(updates=1)
        blocks.append((other.block - model.block) * len(source.records))
    steps = corpus.records.steps
    mean = (np.array([1, 2, 1, 1, 3, 1]) * steps).sum() / steps.sum()
    np.testing.assert_allclose(blocks[0] * mean, blocks[1], rtol=0, atol=1e-14)


def test_weights_of_labels():
    corpus = records()
    assert corpus.weighted({"y": 3.0}).records.weights.tolist() == [1, 3, 1, 1, 3, 1]
    balanced = corpus.weighted("balanced").records
    totals = [balanced.weights[balanced.labels == c].sum() for c in (0, 1)]
    assert totals[0] == pytest.approx(totals[1])
    assert corpus.weighted({"y": 3.0}).fingerprint() != corpus.fingerprint()
    train, valid = corpus.weighted({"y": 3.0}).hold_out(0.5, 0)
    for part in (train, valid):
        assert part.records.weights.tolist() == [
            3.0 if label == "y" else 1.0 for label in part.row_labels()]
        assert (part.records.normalized() * part.records.steps).sum() == pytest.approx(
            part.predictions)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: sequences(weights=np.ones((N, T + 1))), r"weights has the shape \(5, 7\) and must"),
    (lambda: sequences(weights=-np.ones((N, T))), r"weights has -1 at \[0, 0\]: weights are"),
    (lambda: sequences(weights=np.full((N, T), np.nan)), "weights has nan at"),
    (lambda: sequences(weights=np.zeros((N, T))), "weights are all 0"),
    (lambda: sequences(class_weights=[1, 2]), r"class_weights has the shape \(2,\) and must have"),
    (lambda: sequences(class_weights={9: 2}), "class_weights names 9, and the classes are 0 to 3"),
    (lambda: sequences(class_weights="balance"), "did you mean 'balanced'"),
    (lambda: fastrnn.Sequences(np.ones((2, 3, 1)), np.ones((2, 3, 1)), class_weights=[1]),
     "class_weights are for targets that are symbols"),
    (lambda: records().weighted([1, 2]), r"weights has the shape \(2,\) and must have \(6,\)"),
    (lambda: records().weighted({"z": 2}), "weights names 'z', and the classes are 'x', 'y'"),
    (lambda: fastrnn.Corpus.from_records(TEXTS).weighted("balanced"), "has no labels"),
    (lambda: fastrnn.Corpus.from_text("abcab").weighted([1, 2]), "weights are for records"),
    (lambda: nn.SoftmaxCrossEntropy([1, -1]), r"class_weights has -1 at \[1\]"),
    (lambda: nn.SoftmaxCrossEntropy([1, 2]).forward(np.zeros((2, 3)), [0, 1]),
     "class_weights has 2 weights, and the scores 3 columns"),
    (lambda: model_of("cross_entropy")[0].losses([[1, 2]], [[1, 2]], weights=[[1, -1]]),
     "weights has -1"),
])
def test_bad_weights(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- nn ----

def test_class_weights_of_a_loss():
    """PyTorch's CrossEntropyLoss(weight): sum(w loss) / sum(w)."""
    rng = np.random.default_rng(0)
    scores, labels, w = rng.normal(size=(7, 3)), rng.integers(0, 3, 7), np.array([0.5, 4, 1])
    log_p = scores - np.logaddexp.reduce(scores, axis=1)[:, None]
    expected = -(w[labels] * log_p[np.arange(7), labels]).sum() / w[labels].sum()
    loss = nn.SoftmaxCrossEntropy(w)
    assert loss.forward(scores, labels) == pytest.approx(expected, rel=1e-13)
    gradient = loss.backward()
    for i, k in np.ndindex(7, 3):
        moved = np.zeros_like(scores)
        moved[i, k] = 1e-6
        slope = (loss.forward(scores + moved, labels) - loss.forward(scores - moved, labels)) / 2e-6
        assert gradient[i, k] == pytest.approx(slope, abs=1e-8)
    three = np.stack([scores] * 3, axis=1), np.stack([labels] * 3, axis=1)
    mask = np.array([[1, 0, 2]] * 7)
    assert loss.forward(*three, mask) == pytest.approx(3 * expected)
    assert nn.SoftmaxCrossEntropy([0, 0, 1]).forward(scores[:2], [0, 1]) == 0


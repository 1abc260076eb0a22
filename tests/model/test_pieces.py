"""Long series are predicted and scored piece by piece: the same bits as in one piece, in bounded
memory."""
import numpy as np
import pytest
from networks import KINDS, cell_of

import fastrnn
from fastrnn import Sequences
from fastrnn.data import sequences, source
from fastrnn.model import prediction

LENGTHS = np.array([97, 31, 60])


@pytest.fixture(params=[32, 16, 7])  # pieces of 25, 14 and 7 steps
def cut(monkeypatch, request):
    """Reads in pieces of at most so many steps from here on."""
    def lower():
        for module in (source, sequences, prediction):
            monkeypatch.setattr(module, "ROWS", request.param)
    return lower


def data_of(reads, predicts, seed=0):
    """Of which steps are masked, unknown and weighted, also all of some pieces."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (3, 97)) if reads == "symbols" else rng.normal(5, 3, (3, 97, 2))
    y = rng.integers(0, 6, (3, 97)) if predicts == "symbols" else rng.normal(2, 4, (3, 97, 4))
    mask = rng.random((3, 97)) < 0.7
    mask[0, 30:66] = False
    mask[2, 50:] = False
    if predicts == "numbers":
        y[rng.random(y.shape) < 0.2] = np.nan
    return Sequences(x, y, mask, LENGTHS, weights=rng.uniform(0, 3, mask.shape),
                     symbols=6 if "symbols" in (reads, predicts) else None)


def model_of(data, kind="lstm", **settings):
    model = fastrnn.Model(data.sizes, **cell_of(kind), **{
        "hidden_size": 9, "num_layers": 2} | settings)
    rng = np.random.default_rng(3)
    for name, p in model.params.items():
        p[:] = rng.normal(0, 0.1 if name.endswith("Wm") else 0.7 / len(p) ** 0.5, p.shape)
    model.scaling = data.scaling()
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reads", "predicts", "dtype"), [
    ("numbers", "numbers", "float32"), ("symbols", "symbols", "float64"),
    ("numbers", "symbols", "float32"), ("symbols", "numbers", "mixed_bfloat16")])
def test_the_same_bits(cut, kind, reads, predicts, dtype):
    data = data_of(reads, predicts)
    model = model_of(data, kind, dtype=dtype)
    whole = np.concatenate([model.predict(data[[n]]) for n in range(3)])  # one row in a call
    assert np.array_equal(np.isnan(whole[:, :, 0]), np.arange(97) >= LENGTHS[:, None])
    assert np.isfinite(whole[np.arange(97) < LENGTHS[:, None]]).all()
    follow = (np.concatenate([model.extrapolate(data[[n]], 5) for n in range(3)])
              if reads == predicts == "symbols" else None)
    cut()
    assert np.array_equal(model.predict(data), whole, equal_nan=True)
    if follow is not None:
        assert np.array_equal(
            np.concatenate([model.extrapolate(data[[n]], 5) for n in range(3)]), follow)
    assert len({network.nbytes for network in model._networks.values()}) > 1


@pytest.mark.parametrize("kind", ["gru", "lstm", "memory"])
def test_scores_by_hand(cut, kind):
    """Masks, unknown targets, weights and lengths, against the predictions of the whole."""
    data = data_of("numbers", "numbers")
    model = model_of(data, kind, dtype="float64")
    errors = np.nanmean((model.predict(data) - data.targets)[data.mask] ** 2, axis=1)
    expected = np.average(errors, weights=data.weights[data.mask])
    cut()
    assert len(list(data.batches(np.dtype("float64")))) > 3
    assert model.score(data) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("last", [None, 1, 20, 90])
def test_accuracy_by_hand(cut, last):
    data = data_of("numbers", "symbols")
    model = model_of(data)
    right = model.predict(data).argmax(axis=2) == data.targets
    chosen = data.mask.copy()
    for row in chosen:
        row[np.flatnonzero(row)[: -last if last else 0]] = False
    nll = -np.log(np.take_along_axis(model.predict(data), data.targets[..., None].astype(int), 2))
    cut()
    assert model.accuracy(data, last=last) == right[chosen].mean()
    assert model.score(data) == pytest.approx(np.average(
        nll[data.mask][:, 0], weights=data.weights[data.mask]), rel=1e-5)


def test_memory():
    """It does not grow with the steps of a series."""
    sizes = []
    for T in (source.ROWS, 5 * source.ROWS + 3):
        x = np.sin(0.1 * np.arange(T + 1))[None, :, None]
        data = Sequences(x[:, :-1], x[:, 1:])
        model = model_of(data)
        model.predict(data.inputs)
        model.score(data)
        sizes.append(max(network.nbytes for network in model._networks.values()))
    assert sizes[1] <= sizes[0]

"""One time step after the other gives what predict gives on the whole."""
import pickle
import threading

import numpy as np
import pytest
from networks import KINDS, cell_of

import fastrnn
from fastrnn import Sizes
from fastrnn.data.scaling import Scaling

NUMBERS, SYMBOLS = Sizes(input_size=3, output_size=2), Sizes(input_symbols=9, output_symbols=9)
WAYS = pytest.mark.parametrize("sizes", [
    NUMBERS, SYMBOLS, Sizes(input_size=3, output_symbols=5),
    Sizes(input_symbols=9, output_size=2)], ids=["numbers", "symbols", "classes", "values"])


def model_of(sizes=NUMBERS, kind="lstm", dtype="float64", scaled=False, **settings):
    model = fastrnn.Model(sizes, **cell_of(kind), hidden_size=7, dtype=dtype, **settings)
    rng = np.random.default_rng(4)
    for p in model.params.values():
        p[:] = rng.normal(0, 0.5 / max(1, len(p) ** 0.5), p.shape)
    if scaled:
        model.scaling = Scaling(
            np.array([[30.0, -5.0, 1e4], [2.0, 0.1, 300.0]]) if sizes.input_size else None,
            np.array([[1e3, -2.0], [50.0, 0.2]]) if sizes.output_size else None)
    return model


def inputs_of(model, N, T=11, seed=0):
    rng = np.random.default_rng(seed)
    if model.sizes.input_symbols:
        return rng.integers(0, 9, (N, T))
    x = rng.normal(size=(N, T, 3))
    by = model.scaling and model.scaling.inputs
    return x if by is None else x * by[1] + by[0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("scaled", [False, True])
@WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_the_prediction_of_the_whole(isa, kind, sizes, scaled, dtype):
    if kind == "esn" and dtype == "mixed_bfloat16":
        return
    model = model_of(sizes, kind, dtype, scaled, **({} if kind == "esn" else {"num_layers": 2}))
    for N in (1, 5):
        x = inputs_of(model, N)
        whole = model.predict(x)
        model.reset()
        found = np.stack([model.step(x[:, t]) for t in range(11)], axis=1)
        assert found.dtype == whole.dtype and found.shape == whole.shape
        # one row alone is multiplied in another way than several
        exact = N > 1 and sizes.output_size > 0
        scale = np.abs(whole).max()
        assert np.abs(found - whole).max() <= (0 if exact else scale * (
            1e-14 if dtype == "float64" else 1e-6))
        _, _, last = model.loss_and_gradients(x, np.zeros((N, 11, 2)) if sizes.output_size else
                                              np.zeros((N, 11), int))
        assert np.allclose(model.step_state, last, rtol=0, atol=1e-6)
        assert np.abs(np.diff(whole, axis=1)).max() > 1e-4 * scale


@WAYS
def test_ways_to_give_a_step(sizes):
    model = model_of(sizes, dtype="float32", scaled=True)
    x = inputs_of(model, 1)[0]
    if sizes.input_size:
        x = x.astype(np.float32)
    whole = model.predict(x[None])[0]
    strided = np.repeat(x, 2, axis=0)[::2]
    ways = [x, strided, x.tolist(), [*x], [tuple(row) if row.ndim else row for row in x]]
    ways += [[each[None] for each in x], x.astype(np.float64 if sizes.input_size else np.uint8)]
    for way in ways:
        model.reset()
        found = [model.step(each) for each in way]
        assert found[0].shape == ((1, whole.shape[1]) if np.ndim(way[0]) > np.ndim(x[0])
                                  else whole.shape[1:])
        assert np.allclose(np.reshape(found, whole.shape), whole, rtol=1e-6, atol=1e-6)


def test_numbers_one_by_one_and_results_that_stay():
    model = model_of(Sizes(input_size=1, output_size=1))
    x = np.random.default_rng(0).normal(size=6)
    found = [model.step(value) for value in x]
    assert np.allclose(np.ravel(found), model.predict(x[None, :, None]).ravel(), rtol=1e-13)
    assert len({each.ctypes.data for each in found}) == 6


def test_symbols_of_a_text():
    corpus = fastrnn.Corpus.from_text("to be or not to be" * 3)
    model = fastrnn.Model(corpus.vocabulary, cell="gru", hidden_size=8)
    whole = model.predict(corpus.vocabulary.encode("not to")[None].astype(int))[0]
    assert np.allclose([model.step(c) for c in "not to"], whole, rtol=1e-6)
    model.reset()
    assert np.allclose(model.step(int(corpus.vocabulary.encode("n")[0])), whole[0], rtol=1e-6)
    with pytest.raises(ValueError, match="step reads one symbol"):
        model.step("no")
    with pytest.raises(ValueError, match="does not have|unknown|not in"):
        model.step("ö")


def test_the_state_goes_on_where_it_is_put(tmp_path):
    model = model_of(scaled=True)
    x = inputs_of(model, 4)
    for t in range(5):
        model.step(x[:, t])
    state, path = model.step_state, tmp_path / "model.safetensors"
    model.save(path, step_state=True)
    others = [fastrnn.load(path), model.copy(), pickle.loads(pickle.dumps(model))]
    late = [model.step(x[:, t]) for t in range(5, 11)]
    assert not np.array_equal(model.step_state, state)
    for other in others:
        assert np.array_equal(other.step_state, state)
        assert np.array_equal([other.step(x[:, t]) for t in range(5, 11)], late)
    model.step_state = state
    state[:] = 7
    assert np.array_equal([model.step(x[:, t]) for t in range(5, 11)], late)
    model.save(path)
    assert fastrnn.load(path).step_state is None
    model.reset()
    assert model.step_state is None
    model.step_state = late_state = np.random.default_rng(1).uniform(-1, 1, (1, 14))
    _, _, last = model.loss_and_gradients(x[:1, :3], np.zeros((1, 3, 2)), late_state)
    for t in range(3):
        model.step(x[0, t])
    assert np.allclose(model.step_state, last, rtol=1e-12)
    model.step_state = None
    assert model.step_state is None


def test_new_parameters_count_after_a_reset():
    model = model_of()
    x = inputs_of(model, 1)[0]
    before = model.step(x[0])
    model.params["head.b"][:] += 1
    model.reset()
    assert np.allclose(model.step(x[0]), before + 1, rtol=1e-12)


def test_steps_in_several_threads():
    """A step is whole: the state is one that so many steps can reach."""
    model = model_of(Sizes(input_size=1, output_size=1))
    model.step([0.5])
    threads = [threading.Thread(target=lambda: [model.step([0.5]) for _ in range(200)])
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = model.step_state
    model.reset()
    for _ in range(801):
        model.step([0.5])
    assert np.array_equal(found, model.step_state)


def test_bad_steps():
    model = model_of()
    for x, message in (([1.0, 2.0], r"\(3,\)"), (np.zeros((0, 3)), "must have"), (0.5, r"\(3,\)"),
                       ([1.0, np.nan, 2.0], "NaN"), ([1.0, np.inf, 2.0], "infinity"),
                       (np.zeros((1, 2, 3)), "must have")):
        with pytest.raises(ValueError, match=message):
            model.step(x)
    assert model.step_state is None
    model.step(np.zeros((4, 3)))
    state = model.step_state
    for x in (np.zeros((5, 3)), np.zeros(3)):
        with pytest.raises(ValueError, match="the state is that of 4: call reset"):
            model.step(x)
    with pytest.raises(ValueError, match="NaN"):
        model.step(np.full((4, 3), np.nan))
    for given, message in ((np.zeros((4, 13)), "must have"), (np.full((4, 14), np.nan), "NaN")):
        with pytest.raises(ValueError, match=message):
            model.step_state = given
    assert np.array_equal(model.step_state, state)
    symbols = model_of(SYMBOLS)
    for x, error in ((9, ValueError), (-1, ValueError), (0.5, TypeError), ([[1, 2]], ValueError)):
        with pytest.raises(error):
            symbols.step(x)
    named = fastrnn.Model(SYMBOLS, labels=["a", "b"])
    with pytest.raises(ValueError, match="models without labels"):
        named.step(1)
    with pytest.raises(ValueError, match="float32 cannot hold"):
        model_of(dtype="float32").step([1e300, 0.0, 0.0])

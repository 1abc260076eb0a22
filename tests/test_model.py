"""A model as its user sees it, against NumPy and reference.py."""
import copy
import pickle

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from fastrnn.model import READ_STEPS

SYMBOLS = "abcdefghijk"
K, H, N, T = len(SYMBOLS), 7, 3, 5


def make(dtype="float64", **settings):
    """A model with weights large enough to matter, and biases that are not zero."""
    settings = {"hidden_size": H, "init_scale": 0.5, "seed": 1, "dtype": dtype} | settings
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)
    rng = np.random.default_rng(2)
    for name in ("layer0.b", "head.b"):
        model.params[name][:] = rng.normal(0, 0.3, model.params[name].shape)
    return model


def ids(*shape, seed=3):
    return np.random.default_rng(seed).integers(K, size=shape)


def in_float64(model):
    return {name: p.astype(np.float64) for name, p in model.params.items()}


def log_likelihoods(model, inputs, targets, state):
    """ln p of each target (N, T) and the last state, in plain float64 NumPy."""
    p = in_float64(model)
    f = np.tanh if model.config["cell"] == "rnn" else lambda z: np.maximum(z, 0)
    h, out = state, np.empty(inputs.shape)
    for t in range(inputs.shape[1]):
        h = f(p["layer0.Wx"][inputs[:, t]] + h @ p["layer0.Wh"] + p["layer0.b"])
        scores = h @ p["head.W"] + p["head.b"]
        out[:, t] = (scores[np.arange(len(h)), targets[:, t]]
                     - np.log(np.exp(scores).sum(axis=1)))
    return out, h


# ---- the start ----

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("init", ["normal", "identity"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_a_numpy_script_can_start_from_the_same_numbers(cell, init, dtype):
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), cell=cell, hidden_size=H, init=init,
                          init_scale=0.3, dtype=dtype, seed=42)
    rng = np.random.default_rng(42)
    expected = {"layer0.Wx": rng.normal(0, 0.3, (K, H))}
    expected["layer0.Wh"] = np.eye(H) if init == "identity" else rng.normal(0, 0.3, (H, H))
    expected["layer0.b"] = np.zeros(H)
    expected["head.W"] = rng.normal(0, 0.3, (H, K))
    expected["head.b"] = np.zeros(K)
    assert list(model.params) == list(expected)
    for name, p in model.params.items():
        assert p.dtype == dtype
        np.testing.assert_array_equal(p, expected[name].astype(dtype), err_msg=name)


def test_the_classic_defaults():
    model = fastrnn.Model(fastrnn.Vocabulary(SYMBOLS))
    assert model.config == {"cell": "rnn", "hidden_size": 100, "init": "normal",
                            "init_scale": 0.01, "dtype": "float32", "seed": 0}
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(
        model.params["layer0.Wx"], rng.normal(0, 0.01, (K, 100)).astype(np.float32))


def test_seeds():
    vocabulary = fastrnn.Vocabulary(SYMBOLS)
    one, same, other, any_, any_other = (
        fastrnn.Model(vocabulary, hidden_size=H, seed=seed).block for seed in (1, 1, 2, None, None))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(any_, any_other)


def test_init_scale_zero_is_all_zero():
    assert not fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), init_scale=0).block.any()


def test_params_are_writable_views_of_one_block():
    model = make()
    assert model.block.size == sum(p.size for p in model.params.values())
    np.testing.assert_array_equal(
        model.block, np.concatenate([p.ravel() for p in model.params.values()]))
    for i, p in enumerate(model.params.values()):
        assert np.shares_memory(p, model.block)
        assert p.flags.writeable and p.flags.c_contiguous
        p[:] = i
    sizes = [p.size for p in model.params.values()]
    np.testing.assert_array_equal(model.block, np.repeat(np.arange(5.0), sizes))
    model.block[:] = 7
    assert all((p == 7).all() for p in model.params.values())


def test_the_kernels_see_what_is_written_into_params():
    model = make()
    for p in model.params.values():
        p[:] = 0
    loss, _, state = model.loss_and_gradients(ids(N, T), ids(N, T, seed=4))
    assert loss == pytest.approx(T * np.log(K), rel=1e-14)
    assert not state.any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1, not 0"),
    ({"hidden_size": -3}, "hidden_size"),
    ({"hidden_size": True}, "hidden_size"),
    ({"hidden_size": 60_000}, "hidden_size 60000 makes .* parameters: too many"),
    ({"cell": "rn"}, "cell must be one of .*did you mean 'rnn'"),
    ({"cell": None}, "cell"),
    ({"init": "identiy"}, "did you mean 'identity'"),
    ({"init_scale": -1}, "init_scale"),
    ({"init_scale": float("nan")}, "init_scale"),
    ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64', not 'float16'"),
    ({"dtype": "long double trouble"}, "dtype"),
    ({"seed": -1}, "seed"),
])
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)


@pytest.mark.parametrize("settings", [
    {"hidden_size": 2.5}, {"hidden_size": "100"}, {"seed": 1.5}, {"init_scale": "much"}])
def test_arguments_of_the_wrong_type(settings):
    (name,) = settings
    with pytest.raises(TypeError, match=f"{name} must be a"):
        fastrnn.Model(fastrnn.Vocabulary(SYMBOLS), **settings)


def test_a_vocabulary_must_be_one():
    with pytest.raises(TypeError, match="vocabulary must be a fastrnn.Vocabulary"):
        fastrnn.Model(SYMBOLS)


# ---- loss and gradients ----

def same_numbers(model, inputs, targets, state, tolerance):
    """Compare with reference.py in float64."""
    loss, grads, last = model.loss_and_gradients(inputs, targets, state)
    start = np.zeros((len(inputs), H)) if state is None else np.asarray(state, np.float64)
    expected_loss, expected, expected_last = reference.loss_and_gradients(
        in_float64(model), np.asarray(inputs), np.asarray(targets), start, model.config["cell"])
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    assert list(grads) == list(model.params)
    for name, g in grads.items():
        assert g.dtype == model.config["dtype"]
        assert g.shape == model.params[name].shape
        np.testing.assert_allclose(g, expected[name], rtol=tolerance, atol=tolerance,
                                   err_msg=name)
        if state is not None:
            assert np.abs(expected[name]).max() > 0.01  # no comparison of zeros
    assert last.dtype == model.config["dtype"]
    np.testing.assert_allclose(last, expected_last, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_loss_and_gradients(cell, dtype, tolerance):
    model = make(dtype, cell=cell)
    state = np.abs(np.random.default_rng(5).normal(0, 1, (N, H)))
    same_numbers(model, ids(N, T), ids(N, T, seed=4), state, tolerance)
    same_numbers(model, ids(N, T), ids(N, T, seed=4), None, tolerance)
    same_numbers(model, ids(1, 1), ids(1, 1, seed=4), None, tolerance)


@pytest.mark.parametrize("arrange", [
    lambda x: x.tolist(),
    lambda x: tuple(map(tuple, x.tolist())),
    lambda x: np.asfortranarray(x),
    lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    lambda x: x.astype(np.uint8),
    lambda x: x.astype(">i8"),
    lambda x: x.astype(np.uint64),
], ids=["list", "tuple", "fortran", "strided", "backwards", "uint8", "big-endian", "uint64"])
def test_any_layout_and_integer_type(arrange):
    model, x, y = make(), ids(N, T), ids(N, T, seed=4)
    state = np.random.default_rng(5).normal(0, 1, (N, H))
    expected = model.loss_and_gradients(x, y, state)
    loss, grads, last = model.loss_and_gradients(arrange(x), arrange(y), state.tolist())
    assert loss == expected[0]
    for name, g in grads.items():
        np.testing.assert_array_equal(g, expected[1][name])
    np.testing.assert_array_equal(last, expected[2])


def test_nothing_that_goes_in_is_changed():
    model, x, y = make(), ids(N, T), ids(N, T, seed=4)
    state = np.random.default_rng(5).normal(0, 1, (N, H))
    before = [a.copy() for a in (model.block, x, y, state)]
    for a in (x, y, state):
        a.flags.writeable = False
    _, grads, last = model.loss_and_gradients(x, y, state)
    assert all(np.array_equal(a, b) for a, b in zip((model.block, x, y, state), before,
                                                    strict=True))
    assert not np.shares_memory(last, state)
    kept = {name: g.copy() for name, g in grads.items()}, last.copy()
    model.loss_and_gradients(y, x, last)  # a later call must not write into an earlier result
    for name, g in grads.items():
        np.testing.assert_array_equal(g, kept[0][name])
        assert not np.shares_memory(g, model.block)
    np.testing.assert_array_equal(last, kept[1])


def test_the_state_carries_on():
    model, x, y = make(), ids(N, T), ids(N, T, seed=4)
    whole, _, last = model.loss_and_gradients(x, y)
    first, _, state = model.loss_and_gradients(x[:, :2], y[:, :2])
    second, _, state = model.loss_and_gradients(x[:, 2:], y[:, 2:], state)
    assert first + second == pytest.approx(whole, rel=1e-14)
    np.testing.assert_allclose(state, last, rtol=1e-13)


def test_many_shapes_one_after_the_other():
    """Each shape has its own workspace, and only a few of them are kept."""
    model = make()
    for n, t in [(1, 9), (2, 3), (5, 1), (1, 2), (3, 40), (1, 9), (17, 2), (2, 3)]:
        state = np.random.default_rng(5).normal(0, 1, (n, H))
        same_numbers(model, ids(n, t), ids(n, t, seed=4), state, 1e-12)


@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_losses_of_each_prediction(cell):
    model, x, y = make(cell=cell), ids(N, T), ids(N, T, seed=4)
    state = np.random.default_rng(5).normal(0, 1, (N, H))
    losses = model.losses(x, y, state)
    assert losses.shape == (N, T) and losses.dtype == np.float64
    np.testing.assert_allclose(losses, -log_likelihoods(model, x, y, state)[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["layer0.Wx", "layer0.Wh", "layer0.b", "head.W", "head.b"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_a_nan_in_the_parameters_is_not_swallowed(cell, dtype, name):
    model = make(dtype, cell=cell)
    model.params[name][:] = np.nan
    state = np.ones((N, H))
    assert np.isnan(model.loss_and_gradients(ids(N, T), ids(N, T), state)[0])


@pytest.mark.parametrize(("inputs", "targets", "state", "message"), [
    ([[0, 1]], [[0, 1, 2]], None, r"inputs are \(1, 2\) and targets \(1, 3\)"),
    ([0, 1], [0, 1], None, r"inputs must be ids of shape \(N, T\), not of shape \(2,\)"),
    ([[]], [[]], None, r"inputs must be ids of shape"),
    ([[[0]]], [[[0]]], None, r"inputs must be ids of shape"),
    ([[0, K]], [[0, 1]], None, f"id {K} at position .* ids go from 0 to {K - 1}"),
    ([[0, 1]], [[-1, 1]], None, "id -1 at position"),
    ([[0, 1]], [[0, 1]], np.zeros((2, H)), rf"state is \(2, {H}\) and must be \(1, {H}\)"),
    ([[0, 1]], [[0, 1]], np.zeros(H), r"state is \(7,\) and must be"),
])
def test_bad_inputs(inputs, targets, state, message):
    with pytest.raises(ValueError, match=message):
        make().loss_and_gradients(inputs, targets, state)


def test_ids_must_be_integers():
    with pytest.raises(TypeError, match="ids must be integers"):
        make().loss_and_gradients([[0.0, 1.0]], [[1, 2]])


# ---- score ----

@pytest.mark.parametrize("cell", ["rnn", "relu"])
@pytest.mark.parametrize(
    "length", [2, 3, READ_STEPS, READ_STEPS + 1, READ_STEPS + 2, 2 * READ_STEPS + 1, 1000])
def test_score(cell, length):
    """From the zero state, whatever training has left in model.state."""
    model, x = make(cell=cell), ids(1, length)
    model.state[:] = 1
    # a relu model at this scale must not run away over 1000 steps
    model.params["layer0.Wh"][:] *= 0.3
    expected = -log_likelihoods(model, x[:, :-1], x[:, 1:], np.zeros((1, H)))[0].mean()
    text = model.vocabulary.decode(x[0])
    assert model.score(text) == pytest.approx(expected, rel=1e-12)
    assert model.score(fastrnn.Corpus(x[0], model.vocabulary)) == model.score(text)


@pytest.mark.parametrize(("unit", "text", "n"), [
    ("char", "ha ha hum", 9), ("word", "Ha ha hum\nha", 4), ("byte", "hé".encode(), 3)])
def test_score_of_each_unit(unit, text, n):
    model = fastrnn.Model(fastrnn.Vocabulary.from_text(text, unit), init_scale=0)
    assert len(model.vocabulary.encode(text)) == n
    assert model.score(text) == pytest.approx(np.log(len(model.vocabulary)))
    assert isinstance(model.score(text), float)


def test_score_refuses():
    model = make()
    with pytest.raises(ValueError, match="at least 2 symbols, not 0"):
        model.score("")
    with pytest.raises(ValueError, match="at least 2 symbols, not 1"):
        model.score("a")
    with pytest.raises(ValueError, match="char 'z' at position 2 is not in the vocabulary"):
        model.score("abz")
    with pytest.raises(ValueError, match="another vocabulary"):
        model.score(fastrnn.Corpus.from_text("abc"))
    with pytest.raises(TypeError, match="must be a str"):
        model.score(b"abc")


# ---- files ----

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["rnn", "relu"])
def test_save_and_load_keep_every_bit(tmp_path, cell, dtype):
    model = make(dtype, cell=cell)
    model.params["layer0.b"][:3] = [np.nextafter(0, 1, dtype=dtype), -0.0, np.inf]
    model.state[:] = np.random.default_rng(6).normal(0, 1, (1, H))
    path = tmp_path / "model.safetensors"
    model.save(path)
    twin = fastrnn.load(str(path))
    assert twin.state.tobytes() == model.state.tobytes()
    assert twin.block.tobytes() == model.block.tobytes()
    assert twin.config == model.config
    assert twin.vocabulary == model.vocabulary
    assert twin.block.flags.writeable and np.shares_memory(twin.params["head.W"], twin.block)
    assert list(tmp_path.iterdir()) == [path]  # no temporary file stays
    model.params["layer0.b"][:3] = 0.1
    model.save(path)  # over an old file
    assert fastrnn.load(path).sample(100, seed=1) == model.sample(100, seed=1)


@pytest.mark.parametrize("vocabulary", [
    fastrnn.Vocabulary("\0\n\r\x85\u2028\"\\é𝄞\ud800"),
    fastrnn.Vocabulary(["to", "naïve", "\"", "{}"], "word"),
    fastrnn.Vocabulary(range(256), "byte"),
], ids=["char", "word", "byte"])
def test_every_vocabulary_comes_back(tmp_path, vocabulary):
    path = tmp_path / "model.safetensors"
    fastrnn.Model(vocabulary, hidden_size=3).save(path)
    assert fastrnn.load(path).vocabulary == vocabulary


def test_the_history_comes_back(tmp_path):
    model = make()
    model.history.extend(np.array([3.0, 2.0]), np.array([3.0, 2.999]))
    model.save(tmp_path / "m")
    history = fastrnn.load(tmp_path / "m").history
    assert history.loss.tolist() == [3.0, 2.0]
    assert history.smooth_loss.tolist() == [3.0, 2.999]
    assert history.loss.dtype == history.smooth_loss.dtype == np.float64


def test_a_model_without_a_run_has_no_best(tmp_path):
    make().save(tmp_path / "m")
    with pytest.raises(ValueError, match="without a training run"):
        fastrnn.load(tmp_path / "m", best=True)


def test_repr():
    assert repr(make()) == f"<Model rnn, {H} units, {K} symbols, 221 parameters, float64>"


def test_copies_share_nothing():
    model = fastrnn.Model(fastrnn.Vocabulary("abcd"), hidden_size=5, seed=1)
    model.state[:] = 0.5
    for other in (model.copy(), copy.deepcopy(model)):
        assert np.array_equal(other.block, model.block) and np.array_equal(other.state, model.state)
        other.params["layer0.Wh"][:] = 0
        other.state[:] = 0
        assert model.params["layer0.Wh"].all() and (model.state == 0.5).all()
    with pytest.raises(TypeError, match="model.save"):
        pickle.dumps(model)

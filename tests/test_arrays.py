"""Arrays of every kind are taken, or refused, in the same way wherever users give some."""
import numpy as np
import pytest

import fastrnn
from fastrnn import EchoStateNetwork, Sequences, nn, optim

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 40, 2)).astype(np.float16).astype(np.float64)  # float16 has them all
Y = rng.normal(size=(3, 40, 2)).astype(np.float16).astype(np.float64)
IDS = rng.integers(0, 5, (3, 40))


class OnlyAnArray:
    """A foreign array, read-only as those of JAX are."""

    def __init__(self, array):
        self._array = read_only(array)

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def mapped(array, tmp_path):
    np.save(tmp_path / "array.npy", array)
    return np.load(tmp_path / "array.npy", mmap_mode="r")


WAYS = {
    "read-only": read_only,
    "byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "Fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "list": lambda a: a.tolist(),
    "foreign": OnlyAnArray,
    "nothing masked": np.ma.masked_array,
}
FLOATS = {"float16": lambda a: a.astype(np.float16), "longdouble": lambda a: a.astype("g"),
          "float32": lambda a: a.astype(np.float32)}


def numbers_model(dtype="float64"):
    return fastrnn.Model(Sequences(X, Y).sizes, cell="lstm", hidden_size=4, dtype=dtype,
                         init="xavier")


def symbols_model():
    return fastrnn.Model(Sequences(IDS, IDS).sizes, cell="gru", hidden_size=4)


def through_optimizer(grads):
    params = {"W": np.ones((3, 40, 2))}
    optim.Adam(params).step({"W": grads})
    return params["W"]


def through_layer(layer):
    def call(x):
        y = layer.forward(x)
        return y, layer.backward(Y[..., : y.shape[-1]].repeat(2, axis=-1)[..., : y.shape[-1]])
    return call


def loss_of(loss, *arguments):
    return lambda y: (loss.forward(y, *arguments), loss.backward())


def echo(x):
    return EchoStateNetwork(20, warmup=2).fit(x, list(Y)).predict(list(X))


TAKE_NUMBERS = {
    "Sequences": lambda a: [Sequences(a, a).inputs, Sequences(a, a).targets],
    "predict": lambda a: numbers_model().predict(a),
    "extrapolate": lambda a: numbers_model().extrapolate(a, 3),
    "loss_and_gradients": lambda a: numbers_model().loss_and_gradients(a, a)[0],
    "losses": lambda a: numbers_model().losses(X, a),
    "gradcheck": lambda a: fastrnn.gradcheck(numbers_model(), a, a, entries=3).max_error,
    "gradcheck of a function": lambda a: fastrnn.gradcheck(
        lambda x: (x**3).sum(), a, 3 * X**2, entries=9).max_error,
    "echo state network": echo,
    "targets of one": lambda a: EchoStateNetwork(20, warmup=2).fit(list(X), a).predict(list(X)),
    "score of one": lambda a: EchoStateNetwork(20, warmup=2).fit(X, Y).score(a, Y),
    "LSTM": through_layer(nn.LSTM(2, 3)),
    "GRU": through_layer(nn.GRU(2, 3)),
    "Linear": through_layer(nn.Linear(2, 3)),
    "Dropout": lambda a: nn.Dropout(0.2).forward(a),
    "backward": lambda a: (lambda head: (head.forward(X), head.backward(a)))(nn.Linear(2, 2)),
    "MeanSquaredError": loss_of(nn.MeanSquaredError(), Y),
    "its targets": lambda a: nn.MeanSquaredError().forward(X, a),
    "SoftmaxCrossEntropy": loss_of(nn.SoftmaxCrossEntropy(), IDS % 2),
    "optimizer": through_optimizer,
}
TAKE_SYMBOLS = {
    "Sequences": lambda a: [Sequences(a, a).inputs, Sequences(a, a).targets],
    "predict": lambda a: symbols_model().predict(a),
    "extrapolate": lambda a: symbols_model().extrapolate(a, 3),
    "loss_and_gradients": lambda a: symbols_model().loss_and_gradients(a, a)[0],
    "Embedding": lambda a: nn.Embedding(5, 3).forward(a),
    "labels": lambda a: nn.SoftmaxCrossEntropy().forward(np.zeros((3, 40, 5)), a),
    "check_ids": lambda a: fastrnn.Vocabulary("abcde").check_ids(a),
}


def same(one, other):
    assert np.array_equal(np.concatenate([np.ravel(part) for part in flat(one)]),
                          np.concatenate([np.ravel(part) for part in flat(other)]))


def flat(found):
    return [array for part in found for array in flat(part)] \
        if isinstance(found, list | tuple) else [found]


@pytest.mark.parametrize("what", TAKE_NUMBERS)
@pytest.mark.parametrize("way", [*WAYS, "float16", "longdouble"])
def test_numbers_are_converted_everywhere(what, way):
    call = TAKE_NUMBERS[what]
    # a loss and a checked function stay in the precision of what they are given
    half = way == "float16" and what in ("MeanSquaredError", "SoftmaxCrossEntropy", "Sequences")
    same(call((WAYS | FLOATS)[way](X)), call(FLOATS["float32"](X) if half else X))


@pytest.mark.parametrize("what", TAKE_SYMBOLS)
@pytest.mark.parametrize("way", WAYS)
def test_symbols_are_converted_everywhere(what, way):
    same(TAKE_SYMBOLS[what](WAYS[way](IDS)), TAKE_SYMBOLS[what](IDS))


def test_memory_maps_and_states(tmp_path):
    model = numbers_model("float32")
    same(model.predict(mapped(X, tmp_path)), model.predict(X))
    state = rng.normal(size=(3, 8)).astype(np.float16)
    same(model.losses(X, Y, WAYS["byte order"](state)), model.losses(X, Y, state.astype(float)))
    layer = nn.LSTM(2, 3)
    h = state[:, :3].astype(np.float64)
    same(layer.step(read_only(X[:, 0]), WAYS["byte order"](h), read_only(h))[:2],
         layer.step(X[:, 0], h, h)[:2])
    S = Sequences(X, Y, mask=OnlyAnArray(IDS > 0), lengths=WAYS["byte order"](np.array([5, 40, 9])))
    assert S.lengths.tolist() == [5, 40, 9] and S.predictions == S.mask.sum()


WRONG = {"objects": lambda a: a.astype(object), "complex numbers": lambda a: a.astype(complex),
         "texts": lambda a: a.astype(str), "dates": lambda a: a.astype("M8[s]"),
         "objects of mixed types or lengths": lambda a: [[[1.0]], [[1.0], [2.0]], [[3.0]]]}


@pytest.mark.parametrize("what", TAKE_NUMBERS)
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_number_is_refused_everywhere(what, kind):
    if kind.endswith("lengths") and ("echo" in what or "of one" in what):
        pytest.skip("series of different lengths are right there")
    if kind == "objects" and ("echo" in what or "of one" in what):
        pytest.skip("objects that are numbers are numbers to scikit-learn's estimators")
    with pytest.raises((TypeError, ValueError), match="convert it first|has the shape") as caught:
        TAKE_NUMBERS[what](WRONG[kind](X))
    assert kind.startswith("objects of") or f"not of {kind}" in str(caught.value)


@pytest.mark.parametrize("what", TAKE_SYMBOLS)
def test_what_is_no_symbol_is_refused_everywhere(what):
    for change in (lambda a: a.astype(object), lambda a: a.astype(str), lambda a: a + 0j,
                   lambda a: a + 0.5, lambda a: a > 0):
        with pytest.raises((TypeError, ValueError), match=r"integers|whole numbers|\[None\]"):
            TAKE_SYMBOLS[what](change(IDS))


@pytest.mark.parametrize("what", [
    what for what in TAKE_NUMBERS if what not in ("losses", "targets of one")])  # not fitted
def test_masked_numbers_are_never_read(what):
    hidden = np.zeros(X.shape, bool)
    hidden[1, 7] = True
    with pytest.raises(ValueError, match="masked"):
        TAKE_NUMBERS[what](np.ma.masked_array(X, hidden))
    if what != "echo state network":
        with pytest.raises(ValueError, match="masked"):  # a list would lose the masks
            TAKE_NUMBERS[what]([np.ma.masked_array(*pair) for pair in zip(X, hidden, strict=True)])


def test_masked_symbols_are_never_read():
    for call in TAKE_SYMBOLS.values():
        with pytest.raises(ValueError, match="masked"):
            call(np.ma.masked_array(IDS, IDS == IDS[0, 3]))


def test_masked_steps_of_sequences():
    """Masked targets do not count; masked inputs after the last one are padding."""
    hidden = rng.random((3, 40)) < 0.3
    spoiled = np.where(hidden[..., None], np.nan, Y)
    S = Sequences(X, np.ma.masked_invalid(spoiled))
    assert np.array_equal(S.mask, ~hidden)
    assert S.fingerprint() == Sequences(X, Y, ~hidden).fingerprint()
    both = Sequences(X, np.ma.masked_invalid(spoiled), mask=IDS > 1)
    assert np.array_equal(both.mask, ~hidden & (IDS > 1))
    model = numbers_model()
    assert model.loss_and_gradients(X, np.ma.masked_invalid(spoiled))[0] == \
        model.loss_and_gradients(X, Y, mask=~hidden)[0]
    ids = Sequences(IDS, np.ma.masked_array(np.where(hidden, 77, IDS), hidden))
    assert ids.fingerprint() == Sequences(IDS, IDS, ~hidden).fingerprint()
    part = rng.random(Y.shape) < 0.3  # of a step's numbers: the same as NaN
    assert Sequences(X, np.ma.masked_array(Y, part)).fingerprint() == \
        Sequences(X, np.where(part, np.nan, Y)).fingerprint()

    lengths = np.array([40, 7, 1])
    after = np.arange(40) >= lengths[:, None]
    padded = [np.ma.masked_array(a, np.broadcast_to(after[..., None], a.shape)) for a in (X, Y)]
    S = Sequences(*padded)
    assert S.lengths.tolist() == [40, 7, 1]
    assert S.fingerprint() == Sequences(X, Y, lengths=lengths).fingerprint()
    assert np.array_equal(np.isnan(model.predict(S)[..., 0]), after)


def test_what_masks_cannot_say():
    hidden = np.zeros(X.shape, bool)
    hidden[1, 7, 0] = True
    with pytest.raises(ValueError, match="inputs are masked in sequence 1 at step 7.*filled"):
        Sequences(np.ma.masked_array(X, hidden), Y)
    with pytest.raises(ValueError, match="mask hides every step of sequence 2"):
        Sequences(X, np.ma.masked_array(Y, np.arange(3)[:, None, None] == np.full(X.shape, 2)))
    with pytest.raises(ValueError, match="lengths has masked entries"):
        Sequences(X, Y, lengths=np.ma.masked_array([3, 4, 5], [0, 1, 0]))


@pytest.mark.parametrize(("shape", "ways"), [
    ((600, 2), ["[None] if it is one sequence of 600 steps with 2 numbers each",
                "[..., None] if it is 600 sequences of 2 steps with one number each"]),
    ((600,), ["[None, :, None] if it is one sequence of 600 steps with one number each"])])
def test_advice_fits_the_shape(shape, ways):
    table = np.zeros(shape)
    with pytest.raises(ValueError, match="must have the shape") as caught:
        Sequences(table, table)
    assert all(f"inputs{way}" in str(caught.value) for way in ways)
    assert Sequences(table.reshape(1, 600, -1), table.reshape(1, 600, -1)).mask.shape == (1, 600)


def test_advice_for_a_model_knows_its_size():
    for call in numbers_model().predict, nn.RNN(2, 3).forward:
        with pytest.raises(ValueError, match=r"\[None\] if it is one sequence of 40 steps") as two:
            call(X[0])
        assert "[..., None]" not in str(two.value)
        with pytest.raises(ValueError, match=r"must have \(N, T, 2\)$"):
            call(X[..., 0])
    with pytest.raises(ValueError, match=r"give inputs\[None\] if it is one sequence"):
        symbols_model().predict(IDS[0])


def test_numbers_beyond_the_precision_are_refused():
    with pytest.raises(ValueError, match="inputs has numbers that float32 cannot hold"):
        numbers_model("float32").predict(X * 1e300)
    with pytest.raises(ValueError, match="x has numbers that float32 cannot hold"):
        nn.RNN(2, 3, dtype="float32").forward(X * 1e300)
    with pytest.raises(ValueError, match="state has NaN or infinity"):
        numbers_model().losses(X, Y, np.full((3, 8), np.nan))
    for function, x in (np.sum, X * np.nan), (lambda x: np.float64(np.inf), X):
        with pytest.raises(ValueError, match="has NaN or infinity, of which"):
            fastrnn.gradcheck(function, x, X)


def test_whole_numbers_and_bool_where_numbers_are_meant():
    model, counts = numbers_model(), rng.integers(-3, 9, X.shape)
    same(model.predict(counts), model.predict(counts.astype(float)))
    same(model.losses(counts > 0, counts), model.losses((counts > 0) * 1.0, counts * 1.0))


def test_what_is_changed_in_place_must_be_writable():
    W = np.ones(3)
    for wrong, error, message in (
            (read_only(W), ValueError, r'params\["W"\] is read-only.*np.array\(params'),
            (W.tolist(), TypeError, "must be a NumPy array.*not list"),
            (W.astype(">f8"), TypeError, "not of >f8"),
            (W.astype(np.float16), TypeError, "float16"),
            (np.ma.masked_array(W, [0, 1, 0]), ValueError, "masked entries")):
        with pytest.raises(error, match=message):
            optim.Adam({"W": wrong})
    params = {"W": np.ones(3), "b": np.ones(2)}
    optimizer = optim.SGD(params)
    params["b"] = read_only(params["b"])
    with pytest.raises(ValueError, match=r'params\["b"\] is read-only'):
        optimizer.step({"W": np.ones(3), "b": np.ones(2)})
    assert params["W"].tolist() == [1, 1, 1] and optimizer.updates == 0
    for clip in optim.clip_value_, optim.clip_norm_:
        grads = {"a": np.full(3, 9.0), "b": read_only(np.full(3, 9.0))}
        with pytest.raises(ValueError, match=r'grads\["b"\] is read-only'):
            clip(grads, 1.0)
        assert grads["a"].tolist() == [9, 9, 9]

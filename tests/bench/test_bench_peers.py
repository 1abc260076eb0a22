"""The benchmark's peers compute the mathematics they claim to, or their times mean nothing."""

import numpy as np
import pytest
import race
from contestants import model_of
from peers import numpy_lstm, reservoirs, torch_peer
from peers.numpy_batch import NumpyBatch
from peers.numpy_hoisted import NumpyHoisted
from peers.numpy_step import NumpyStep
from peers.peer import CharacterPeer
from peers.torch_peer import TorchPeer, TorchRecords, TorchSequences, TorchSeries
from works import WORKS, flops, make_text, symbols, wave

import fastrnn
from fastrnn.checks import reference

K, H, T = 11, 9, 7
N, E = 3, 5  # streams and embedding of the batched peers
GATES = {"rnn": 1, "relu": 1, "lstm": 4, "gru": 3}

needs_torch = pytest.mark.skipif(not torch_peer.available(), reason="PyTorch is not installed")


def hoisted64(*args, **kwargs):
    return NumpyHoisted(*args, dtype=np.float64, **kwargs)


def torch64(*args, **kwargs):
    return TorchPeer(*args, dtype="float64", **kwargs)


def random_params(seed=0, scale=0.4):
    rng = np.random.default_rng(seed)
    shapes = {
        "layer0.Wx": (K, H),
        "layer0.Wh": (H, H),
        "layer0.b": (H,),
        "head.W": (H, K),
        "head.b": (K,),
    }
    return {name: rng.normal(0, scale, shape) for name, shape in shapes.items()}


def random_network(cell, layers, embedding=None, seed=0, scale=0.4):
    """The parameters of `fastrnn.Model`, by name."""
    shapes = {"embedding.W": (K, embedding)} if embedding else {}
    for layer in range(layers):
        D, G = H if layer else embedding or K, GATES[cell]
        shapes |= {f"layer{layer}.Wx": (D, G * H), f"layer{layer}.Wh": (H, G * H),
                   f"layer{layer}.b": (G * H,)}
        if cell == "gru":
            shapes[f"layer{layer}.bhn"] = (H,)
    shapes |= {"head.W": (H, K), "head.b": (K,)}
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, scale, shape) for name, shape in shapes.items()}


def random_ids(length, seed=1):
    return np.random.default_rng(seed).integers(0, K, length)


def next_symbol(params, symbol, h, activation=np.tanh):
    """One step of the design's mathematics: the new state (H,) and log-probabilities (K,)."""
    h = activation(params["layer0.Wx"][symbol] + h @ params["layer0.Wh"] + params["layer0.b"])
    o = h @ params["head.W"] + params["head.b"]
    return h, o - np.logaddexp.reduce(o)


def expected_loss(params, inputs, targets, h, activation=np.tanh):
    loss = 0.0
    for symbol, target in zip(inputs, targets, strict=True):
        h, log_p = next_symbol(params, symbol, h, activation)
        loss -= log_p[target]
    return loss, h


@pytest.mark.parametrize("peer_class", [NumpyStep, hoisted64])
def test_loss_and_gradients_against_the_formula_and_differences(peer_class):
    params, ids = random_params(), random_ids(T + 1)
    inputs, targets = ids[:-1], ids[1:]
    peer = peer_class(params, random_ids(50), K, T)
    h = np.random.default_rng(2).normal(0, 0.5, peer.h.shape)

    loss, grads, last = peer.loss_and_gradients(inputs, targets, h)
    expected, expected_last = expected_loss(params, inputs, targets, h.ravel())
    assert loss == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(last.ravel(), expected_last, rtol=1e-13)

    assert list(grads) == list(params)
    eps = 1e-5
    for name, p in params.items():
        numeric = np.empty_like(p)
        for place in np.ndindex(p.shape):
            kept = p[place]
            p[place] = kept + eps
            above, _ = expected_loss(params, inputs, targets, h.ravel())
            p[place] = kept - eps
            below, _ = expected_loss(params, inputs, targets, h.ravel())
            p[place] = kept
            numeric[place] = (above - below) / (2 * eps)
        a = grads[name]
        error = np.abs(a - numeric) / np.maximum(1e-12, np.abs(a) + np.abs(numeric))
        assert error.max() < 1e-6, name


@pytest.mark.parametrize("peer_class", [NumpyStep, hoisted64])
def test_two_updates_are_clipped_adagrad(peer_class):
    params, ids = random_params(), random_ids(50)
    rate, clip = 0.05, 0.2
    peer = peer_class(params, ids, K, T, learning_rate=rate, clip_value=clip)
    probe = NumpyStep(params, ids, K, T)  # its gradients are checked by differences above
    memory = {name: np.zeros_like(p) for name, p in params.items()}
    h, clipped = probe.h, 0
    for begin in (0, T):
        window = ids[begin : begin + T + 1]
        _, grads, h = probe.loss_and_gradients(window[:-1], window[1:], h)
        for name, g in grads.items():
            clipped += np.count_nonzero(np.abs(g) > clip)
            g = np.minimum(np.maximum(g, -clip), clip)
            memory[name] += g**2
            probe.params[name] -= rate * g / (memory[name] + 1e-8) ** 0.5
        peer.update()
    assert clipped > 20
    for name, p in probe.params.items():
        np.testing.assert_allclose(peer.params[name], p, rtol=1e-11, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(peer.memory[name], memory[name], rtol=1e-11, atol=1e-20)


def test_reading_stops_where_the_classic_does_and_starts_from_zero():
    class Recorder(CharacterPeer):
        def __init__(self, *args):
            self.seen, self.losses = [], iter((6.0, 3.0, 9.0, 1.0, 2.0, 4.0, 8.0))
            super().__init__(*args)

        def reset_state(self):
            self.seen.append("zero")

        def learn(self, inputs, targets):
            np.testing.assert_array_equal(targets, inputs + 1)
            assert inputs.shape == (self.seq_length, self.streams.shape[1])
            self.seen.append(inputs[0].tolist())
            return next(self.losses)

    # 14 symbols, T 3: windows at 0, 3, 6, 9; at 12 there is no room for another.
    peer = Recorder(np.arange(14), 14, 3)
    for _ in range(5):
        peer.update()
    assert peer.seen == ["zero", [0], [3], [6], [9], "zero", [0]]
    assert (peer.epoch, peer.position) == (1, 3)
    s = 6.0
    for loss in (3.0, 9.0, 1.0, 2.0):
        s = 0.999 * s + 0.001 * loss
    assert peer.smooth_loss == pytest.approx(s, rel=1e-14)

    # One symbol fewer, and position 9 has 9 + 3 + 1 >= 13: the epoch ends before it.
    peer = Recorder(np.arange(13), 13, 3)
    for _ in range(4):
        peer.update()
    assert peer.seen == ["zero", [0], [3], [6], "zero", [0]]

    # Two streams of 14 symbols, and one symbol that is left over.
    peer = Recorder(np.arange(29), 29, 3, 2)
    for _ in range(5):
        peer.update()
    assert peer.seen == ["zero", [0, 14], [3, 17], [6, 20], [9, 23], "zero", [0, 14]]


def assert_same_run(peer, updates, rel):
    """`peer` and NumpyStep agree from the same start, over at least one epoch end."""
    params, ids = random_params(), random_ids(500)
    step, other = NumpyStep(params, ids, K, T), peer(params, ids, K, T)
    for _ in range(updates):
        assert other.update() == pytest.approx(step.update(), rel=rel)
        assert (other.position, other.epoch) == (step.position, step.epoch)
    assert step.epoch >= 1
    assert other.smooth_loss == pytest.approx(step.smooth_loss, rel=rel)
    return step, other


def test_hoisted_equals_step_by_step():
    step, hoisted = assert_same_run(hoisted64, 200, 1e-9)
    for name, p in step.params.items():
        np.testing.assert_allclose(hoisted.params[name], p, rtol=1e-8, atol=1e-9)


def test_hoisted_float32_stays_close():
    _, hoisted = assert_same_run(NumpyHoisted, 200, 1e-3)
    assert all(p.dtype == np.float32 for p in hoisted.params.values())
    assert hoisted.h.dtype == np.float32


@needs_torch
def test_torch_equals_step_by_step():
    step, peer = assert_same_run(torch64, 200, 1e-9)
    for name, p in step.params.items():
        np.testing.assert_allclose(peer.params[name], p, rtol=1e-8, atol=1e-9)


@needs_torch
@pytest.mark.parametrize(
    ("cell", "activation"), [("rnn", np.tanh), ("relu", lambda v: np.maximum(0, v))]
)
def test_torch_first_losses(cell, activation):
    params, ids = random_params(), random_ids(50)
    # A learning rate of next to nothing: the second loss then shows that the state is carried.
    peer = torch64(params, ids, K, T, learning_rate=1e-14, cell=cell)
    first, h = expected_loss(params, ids[:T], ids[1 : T + 1], np.zeros(H), activation)
    second, _ = expected_loss(params, ids[T : 2 * T], ids[T + 1 : 2 * T + 1], h, activation)
    assert peer.update() == pytest.approx(first, rel=1e-10)
    assert peer.update() == pytest.approx(second, rel=1e-10)


@needs_torch
def test_torch_uses_the_threads_asked_for():
    import torch

    before = torch.get_num_threads()
    try:
        one, two = (torch64(random_params(), random_ids(50), K, T, threads=n) for n in (1, 2))
        for peer, threads in ((one, 1), (two, 2), (one, 1)):
            peer.update()
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@needs_torch
def test_torch_refuses_an_unknown_cell():
    with pytest.raises(ValueError, match="cell must be one of rnn, relu, lstm, gru, not 'elman'"):
        torch64(random_params(), random_ids(50), K, T, cell="elman")


@needs_torch
def test_torch_refuses_an_unknown_optimizer():
    with pytest.raises(ValueError, match="optimizer must be one of adagrad, rmsprop, adam, not"):
        torch64(random_params(), random_ids(50), K, T, optimizer="adamw")


def batch64(*args, **kwargs):
    return NumpyBatch(*args, dtype=np.float64, **kwargs)


@pytest.mark.parametrize("embedding", [None, E])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_batch_loss_and_gradients_equal_the_reference(cell, layers, embedding):
    params = random_network(cell, layers, embedding)
    rng = np.random.default_rng(3)
    state = rng.normal(0, 0.5, (N, layers * H * (2 if cell == "lstm" else 1)))
    inputs, targets = rng.integers(0, K, (2, N, T))
    loss, grads, last = reference.loss_and_gradients(params, inputs, targets, state, cell)
    peer = batch64(params, random_ids(60), K, T, N, cell=cell)
    assert peer.state.shape == state.shape
    for _ in range(2):  # nothing of the first call is left over in the second
        found, found_grads, found_last = peer.loss_and_gradients(inputs.T, targets.T, state)
        assert found == pytest.approx(loss, rel=1e-13)
        np.testing.assert_allclose(found_last, last, rtol=1e-12, atol=1e-14)
        assert list(found_grads) == list(grads)
        for name, g in grads.items():
            np.testing.assert_allclose(found_grads[name], g, rtol=1e-10, atol=1e-13, err_msg=name)


def torch_rmsprop(p, g, memories, update, learning_rate, decay=0.9):
    """PyTorch's rule, eps outside the root."""
    (m,) = memories
    m += (1 - decay) * (g * g - m)
    p -= learning_rate * g / (np.sqrt(m) + 1e-4)


RATES = {"adagrad": 0.05, "rmsprop": 0.01, "adam": 0.01}


def assert_same_updates(peer_class, cell, layers, embedding, optimizer, rel, atol):
    """`peer_class` and the reference agree over two epochs and a clip that cuts many gradients."""
    params, ids = random_network(cell, layers, embedding), random_ids(90)
    arguments = {"cell": cell, "optimizer": optimizer, "learning_rate": RATES[optimizer],
                 "clip_value": 0.02}
    peer = peer_class(params, ids, K, T, N, **arguments)
    losses = reference.train(params, ids, T, N, **arguments)  # changes params
    for _ in range(8):
        loss, smooth = next(losses)
        assert peer.update() == pytest.approx(loss, rel=rel)
    assert peer.epoch == 2
    assert peer.smooth_loss == pytest.approx(smooth, rel=rel)
    start = random_network(cell, layers, embedding)
    for name, p in params.items():
        assert np.abs(p - start[name]).max() > RATES[optimizer], name  # they have moved
        np.testing.assert_allclose(peer.params[name], p, rtol=0, atol=atol, err_msg=name)


ALL_BATCHED = [(cell, layers, embedding, optimizer) for cell in ("rnn", "lstm", "gru")
               for layers, embedding, optimizer in ((1, None, "adagrad"), (2, None, "rmsprop"),
                                                    (2, E, "adam"), (3, None, "adam"))]


@pytest.mark.parametrize(("cell", "layers", "embedding", "optimizer"), ALL_BATCHED)
def test_batch_updates_equal_the_reference(cell, layers, embedding, optimizer):
    assert_same_updates(batch64, cell, layers, embedding, optimizer, 1e-12, 1e-12)


@needs_torch
@pytest.mark.parametrize(("cell", "layers", "embedding", "optimizer"),
                         [*ALL_BATCHED, ("relu", 2, None, "adagrad")])
def test_torch_updates_equal_the_reference(monkeypatch, cell, layers, embedding, optimizer):
    monkeypatch.setitem(reference.OPTIMIZERS, "rmsprop", (torch_rmsprop, 1))
    assert_same_updates(torch64, cell, layers, embedding, optimizer, 1e-12, 1e-12)


@pytest.mark.parametrize("peer_class", [NumpyBatch, pytest.param(TorchPeer, marks=needs_torch)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_float32_stays_close(peer_class, cell):
    """PyTorch takes other kernels in float32 (oneDNN for the LSTM)."""
    assert_same_updates(peer_class, cell, 2, E, "adam", 1e-5, 1e-3)


def assert_near_in_bfloat16(run):
    """run(bfloat16) -> loss, gradients, in float32 and under autocast.

    A number that is rounded to bfloat16 errs by at most 2^-9 of it. States and weights are rounded
    in each of some ten products and gates one after another, forward and back, which add up like a
    random walk to some 2^-9 sqrt(20), about 1 %; twice that is allowed, in the norm of each tensor.
    Below 2^-15 nothing was rounded.
    """
    (loss, grads), (rounded_loss, rounded) = run(False), run(True)
    assert rounded_loss == pytest.approx(loss, rel=2.0**-8)
    errors = [np.linalg.norm(rounded[name] - g) / np.linalg.norm(g) for name, g in grads.items()]
    assert 2.0**-15 < max(errors) < 0.02, errors


def gradients_of(peer, loss):
    return loss, {i: p.grad.float().numpy() for i, p in enumerate(peer.trained)}


@needs_torch
@pytest.mark.parametrize("embedding", [None, E])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_torch_in_bfloat16_is_near_float32(cell, embedding):
    params, ids = random_network(cell, 2, embedding), random_ids(90)

    def run(bfloat16):
        peer = TorchPeer(params, ids, K, T, N, cell=cell, optimizer="adam", learning_rate=1e-6,
                         clip_value=100.0, bfloat16=bfloat16)
        for _ in range(3):  # the states go on from window to window
            loss = peer.update()
        return gradients_of(peer, loss)

    assert_near_in_bfloat16(run)


@needs_torch
@pytest.mark.parametrize("numbers", [False, True])
def test_torch_on_sequences_in_bfloat16_is_near_float32(numbers):
    sequences = (fastrnn.tasks.sine(20, 7) if numbers
                 else fastrnn.tasks.memorization(20, 3, symbols=4, blanks=1))
    model = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=H, init="xavier")

    def run(bfloat16):
        peer = TorchSequences(dict(model.params), sequences, batch_size=6, cell="lstm",
                              optimizer="adam", learning_rate=1e-6, clip_norm=100.0,
                              bfloat16=bfloat16)
        return gradients_of(peer, peer.update())

    assert_near_in_bfloat16(run)


@needs_torch
def test_torch_on_packed_records_in_bfloat16_is_near_float32():
    corpus = fastrnn.Corpus.from_records(["anna", "bo", "charles", "d", "eva"])
    model = fastrnn.Model(corpus.vocabulary, cell="lstm", hidden_size=H, init="xavier")

    def run(bfloat16):
        peer = TorchRecords(dict(model.params), corpus.pieces(), batch_size=3, cell="lstm",
                            optimizer="adam", learning_rate=1e-6, clip_norm=100.0,
                            bfloat16=bfloat16)
        return gradients_of(peer, peer.learn_batch([3, 0, 2]))

    assert_near_in_bfloat16(run)


@pytest.mark.parametrize(
    "peer_class", [NumpyStep, hoisted64, pytest.param(torch64, marks=needs_torch)]
)
def test_samples_follow_the_distribution(peer_class):
    """Each drawn id is the inverse of the cumulative softmax at the generator's next uniform."""
    peer = peer_class(random_params(), random_ids(50), K, T)
    peer.update()
    carried = np.array(peer.h.tolist())
    drawn = peer.sample(peer.h, 4, 60, np.random.default_rng(5))
    np.testing.assert_array_equal(peer.h.tolist(), carried)
    assert drawn.shape == (60,)

    h, symbol = carried.reshape(H), 4
    for i, uniform in enumerate(np.random.default_rng(5).random(60)):
        h, log_p = next_symbol(peer.params, symbol, h)
        symbol = int(np.searchsorted(np.cumsum(np.exp(log_p)), uniform, side="right"))
        assert drawn[i] == symbol
    assert len(set(drawn.tolist())) > 3


def test_bad_texts_are_refused():
    params = random_params()
    NumpyStep(params, random_ids(T + 2), K, T)
    with pytest.raises(ValueError, match="at least seq_length"):
        NumpyStep(params, random_ids(T + 1), K, T)
    with pytest.raises(ValueError, match=r"\[0, 11\)"):
        NumpyStep(params, np.full(50, K), K, T)
    batch64(random_network("rnn", 1), random_ids(3 * (T + 2)), K, T, 3)
    with pytest.raises(ValueError, match="in each of 3 streams; they have 8"):
        batch64(random_network("rnn", 1), random_ids(3 * (T + 2) - 1), K, T, 3)


@pytest.mark.parametrize("name", WORKS)
def test_flops_are_three_products_of_every_matrix(name):
    work = WORKS[name]
    model = model_of(work, fastrnn.Vocabulary(symbols(work.K)), "float32")
    looked_up = "embedding.W" if work.E else "layer0.Wx"  # a row is picked, which costs nothing
    used = sum(p.size for key, p in model.params.items() if p.ndim == 2 and key != looked_up)
    assert flops(work) == 3 * 2 * used * work.T * work.N


def test_flops_of_the_classic():
    # Wh 100 x 100 and head.W 100 x 83, 25 steps
    assert flops(WORKS["rnn-1"]) == 6 * 25 * (10_000 + 8_300)


def test_text_has_every_symbol():
    text = make_text(778, 5000)
    assert len(text) == 5000
    assert set(text) == set(symbols(778))


def test_contestants_take_turns(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

        def sleep(self, seconds):
            self.now += seconds

    clock, calls = Clock(), []
    monkeypatch.setattr(race, "time", clock)
    numbers = iter(range(1, 1000))

    def work(name, seconds):
        def do(units):
            calls.append((name, units))
            clock.now += units * seconds
        return do

    def probe():
        calls.append(("probe", 1))
        return next(numbers)

    laps, probes = race.race({"a": work("a", 0.004), "b": work("b", 1.8)}, probe)
    one_round = [("probe", 1), ("a", 25), ("b", 1)]  # 0.1 s each, or one unit
    assert calls[-3 * len(probes):] == one_round * len(probes)
    assert probes == list(range(1, 12))  # 22 s have room for 11 rounds of 1.94 s
    assert (laps["a"].units, laps["b"].units) == (25, 1)
    np.testing.assert_allclose(laps["a"].seconds, [0.1] * 11)
    np.testing.assert_allclose(laps["b"].seconds, [1.8] * 11)

    laps, _ = race.race({"a": work("a", 1e-4), "b": work("b", 30.0)})
    assert (laps["a"].units, len(laps["a"].seconds)) == (1000, 5)  # however long they take
    laps, _ = race.race({"a": work("a", 1e-4)})
    assert len(laps["a"].seconds) == 25
    laps, probes = race.race({"a": work("a", 1e-4)}, quick=True)
    assert (laps["a"].units, len(laps["a"].seconds), probes) == (1, 1, [])


@needs_torch
@pytest.mark.parametrize("cell", ["rnn", "relu", "lstm", "gru"])
@pytest.mark.parametrize("numbers", [False, True])
def test_torch_on_sequences_equals_the_reference(cell, numbers):
    """Batches as they come, the norm cut in many updates, Adam."""
    sequences = (fastrnn.tasks.sine(20, 7) if numbers
                 else fastrnn.tasks.memorization(20, 3, symbols=4, blanks=1))
    model = fastrnn.Model(sequences.sizes, cell=cell, hidden_size=H, dtype="float64", init="xavier")
    params = dict(model.params)
    peer = TorchSequences(params, sequences, batch_size=6, cell=cell, optimizer="adam",
                          learning_rate=0.01, clip_norm=0.3, dtype="float64")
    memories = {name: [np.zeros_like(p) for _ in range(2)] for name, p in params.items()}
    for update in range(5):
        part = slice(update % 3 * 6, update % 3 * 6 + 6)
        loss, grads, _ = reference.loss_and_gradients(
            params, sequences.inputs[part], sequences.targets[part], model.zero_state(6), cell)
        norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
        assert norm > 0.3
        assert peer.update() == pytest.approx(loss, rel=1e-12)
        # PyTorch divides by the norm + 1e-6
        for name, g in reference.clip(grads, None, 0.3 * norm / (norm + 1e-6)).items():
            reference.adam(params[name], g, memories[name], update + 1, 0.01)
    for name, p in params.items():
        np.testing.assert_allclose(peer.params[name], p, rtol=0, atol=1e-10, err_msg=name)


@needs_torch
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_torch_on_packed_records_equals_single_records(cell):
    corpus = fastrnn.Corpus.from_records(["anna", "bo", "charles", "d", "eva"])
    model = fastrnn.Model(corpus.vocabulary, cell=cell, hidden_size=H, dtype="float64",
                          init="xavier")
    peer = TorchRecords(dict(model.params), corpus.pieces(), batch_size=3, cell=cell,
                        optimizer="adam", learning_rate=0.01, clip_norm=100.0, dtype="float64")
    optimizer = fastrnn.optim.Adam(model.params, 0.01)
    for rows in ([3, 0, 2], [1, 4], [2, 1, 0]):
        total, sums = 0.0, dict.fromkeys(model.params, 0.0)
        for row in rows:
            ids = corpus.pieces([row])[0][None]
            loss, grads, _ = model.loss_and_gradients(ids[:, :-1], ids[:, 1:])
            total += loss / len(rows)
            sums = {name: sums[name] + g / len(rows) for name, g in grads.items()}
        assert peer.learn_batch(rows) == pytest.approx(total, rel=1e-10)
        optimizer.step(sums)
    for name, p in model.params.items():
        np.testing.assert_allclose(peer.params[name], p, rtol=0, atol=1e-9, err_msg=name)


def wave_of_two(T=29):
    rng = np.random.default_rng(4)
    return rng.normal(size=(T, 2)), rng.normal(size=(T, 3))


@needs_torch
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_torch_on_a_long_series_equals_the_reference(cell):
    """Two passes over two streams of 14 steps in windows of 4: the last two are not read, the state
    is carried, and is zero at the start of a pass."""
    x, y = wave_of_two()
    model = fastrnn.Model(fastrnn.Sequences(x[None], y[None]).sizes, cell=cell, hidden_size=5,
                          dtype="float64", init="xavier")
    params = dict(model.params)
    peer = TorchSeries(params, x, y, seq_length=4, batch_size=2, cell=cell, optimizer="adam",
                       learning_rate=0.01, clip_norm=1e3, dtype="float64")
    memories = {name: [np.zeros_like(p) for _ in range(2)] for name, p in params.items()}
    for update in range(6):
        if update % 3 == 0:
            state = model.zero_state(2)
        rows = np.array([0, 14])[:, None] + 4 * (update % 3) + np.arange(4)
        loss, grads, state = reference.loss_and_gradients(params, x[rows], y[rows], state, cell)
        assert peer.update() == pytest.approx(loss, rel=1e-10)
        for name, g in grads.items():
            reference.adam(params[name], g, memories[name], update + 1, 0.01)
    for name, p in params.items():
        np.testing.assert_allclose(peer.params[name], p, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["NumPy", pytest.param("LSTMCell", marks=needs_torch),
                                  pytest.param("LSTM", marks=needs_torch)])
def test_lstm_one_sample_at_a_time(kind):
    x, y = wave_of_two()
    model = fastrnn.Model(fastrnn.Sequences(x[None], y[None]).sizes, cell="lstm", hidden_size=5,
                          dtype="float64", init="xavier", forget_bias=0.7)
    step = (numpy_lstm.step(model.params, "float64") if kind == "NumPy" else
            torch_peer.lstm_step(model.params, "float64", kind == "LSTMCell"))
    outputs, _ = reference.forward(model.params, x[None], model.zero_state(1), "lstm")[:2]
    np.testing.assert_allclose([step(sample) for sample in x], outputs[0], atol=1e-12)


def test_reservoirs_one_sample_at_a_time():
    u = np.random.default_rng(5).uniform(-1, 1, (60, 2))
    network = fastrnn.EchoStateNetwork(20, leak_rate=0.6, bias_scale=0.3).fit(
        u[:-1], u[1:], warmup=10)
    step = reservoirs.scipy_step(network, "float64")
    states = network.states(u)
    outputs = np.column_stack([np.ones(60), u, states]) @ network.Wout_.T
    np.testing.assert_allclose([step(sample) for sample in u], outputs, atol=1e-10)


@needs_torch
def test_torch_on_a_long_series_equals_the_trainer():
    """Two passes over the windows that a race learns, with fewer steps."""
    x = wave(241)
    sequences = fastrnn.Sequences(x[None, :-1, None], x[None, 1:, None])
    settings = {"seq_length": 8, "batch_size": 3, "optimizer": "adam", "learning_rate": 0.01,
                "clip_norm": 1e3}
    model = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=6, init="xavier",
                          dtype="float64")
    peer = TorchSeries(dict(model.params), x[:-1], x[1:], cell="lstm", dtype="float64", **settings)
    trainer = fastrnn.Trainer(model, sequences, clip_value=None, progress=False, scale=False,
                              **settings)
    trainer.run(updates=20)
    np.testing.assert_allclose([peer.update() for _ in range(20)], trainer.history.loss,
                               rtol=1e-8)

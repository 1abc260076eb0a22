"""Sequences of symbols and of numbers: the kernels against reference.py, padding against sequences
that are alone, training against a loop by hand, and what is refused.

N, T, H, V or D and K always differ, T is at least 3, initial states are random.
"""
import itertools

import numpy as np
import pytest
from networks import KINDS, cell_of, generators_of, network_of, wide
from runs import classic, refused
from test_kernels import assert_close, tolerance

import fastrnn
from fastrnn import Sequences, Sizes
from fastrnn.checks import reference
from fastrnn.kernels.blas import one_thread

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
PAIRS = list(itertools.product(("symbols", "numbers"), repeat=2))
BOTH = pytest.mark.parametrize(("reads", "predicts"), PAIRS)


def model_of(kind, reads, predicts, H=7, inputs=4, K=5, dtype="float64", seed=0, **settings):
    """Weights large enough that every tensor matters, the memory's small enough not to explode."""
    if reads == predicts == "symbols":
        K = inputs  # one set of symbols
    sizes = Sizes(**{"input_symbols" if reads == "symbols" else "input_size": inputs,
                     "output_symbols" if predicts == "symbols" else "output_size": K})
    model = fastrnn.Model(sizes, **cell_of(kind), hidden_size=H, dtype=dtype, **settings)
    rng = np.random.default_rng(seed)
    for name, p in model.params.items():
        lift = 0.5 if name.endswith(".b") and kind in ("relu", "memory") else 0
        p[:] = rng.normal(lift, 0.2 if name.endswith("Wm") else 0.8 / len(p) ** 0.5, p.shape)
    return model


def arrays_of(model, N, T, seed=1, all_inside=False):
    """inputs, targets, mask, lengths and a state."""
    rng = np.random.default_rng(seed)
    s, dtype = model.sizes, model.config["dtype"]
    x = (rng.integers(0, s.input_symbols, (N, T)) if s.input_symbols
         else rng.normal(size=(N, T, s.input_size)).astype(dtype))
    y = (rng.integers(0, s.outputs, (N, T)) if s.output_symbols
         else rng.normal(size=(N, T, s.outputs)).astype(dtype))
    mask = rng.random((N, T)) < 0.6
    lengths = rng.integers(1, T + 1, N)
    lengths[rng.integers(N)] = T
    mask[:, 0] = True  # something counts in each
    state = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)
    return x, y, mask, lengths, state


# ---- the unroll ----

def assert_unroll(kind, reads, predicts, dtype, N, T, **settings):
    """Losses, gradients and last states on packed weights and on plain BLAS, with dropout too."""
    model = model_of(kind, reads, predicts, dtype=dtype, **settings)
    x, y, mask, lengths, state = arrays_of(model, N, T)
    sequences = Sequences(x, y, mask, lengths,
                          symbols=model.sizes.input_symbols or model.sizes.output_symbols or None)
    limit = 2 * tolerance(dtype, 7, T * N)
    params, cell = wide(model.params), model.config["cell"]
    networks = [network_of(model, T, N, packed) for packed in (True, False)]
    masks = None
    if model.config["dropout"]:
        masks = reference.dropout_masks(
            generators_of(model, networks[0]), networks[0].slices, T, N, 7,
            model.config["num_layers"], model.config["dropout"])
    counted = sequences.mask.astype(np.float64)
    start = state.astype(np.float64)
    wide_x, wide_y = (a.astype(np.float64) if a.ndim == 3 else a for a in (x, y))
    loss, expected, _ = reference.loss_and_gradients(
        params, wide_x, wide_y, start, cell, masks, counted)
    large = (dtype == "float32") * max(np.abs(g).max() for g in expected.values()) / 10
    for network in networks:
        moved, block = state.copy(), np.full_like(model.block, np.nan)
        with one_thread():
            losses = network.unroll(
                model.block, **sequences.batch(np.arange(N), dtype), state=moved, grads=block,
                generators=generators_of(model, network)).T
        assert losses.shape == (N, T) and not losses[~sequences.mask].any()
        assert losses.sum() / N == pytest.approx(loss, rel=limit)
        for name, g in model.views(block).items():
            assert np.abs(expected[name]).max() > 1e-4
            assert_close(g, expected[name], limit, name, large)
        if masks is None:
            for n in range(N):
                _, end, _, _ = reference.forward(params, wide_x[n : n + 1, : lengths[n]],
                                                 start[n : n + 1], cell)
                assert_close(moved[n], end[0], limit, "state", 1.0)


@DTYPES
@BOTH
@ALL_KINDS
def test_losses_states_and_gradients(isa, kind, reads, predicts, dtype):
    for N, T, settings in ((6, 3, {}), (9, 8, {"num_layers": 2, "dropout": 0.3}),
                           (34, 6, {"num_layers": 2}), (1, 5, {})):
        assert_unroll(kind, reads, predicts, dtype, N, T, **settings)


@DTYPES
@ALL_KINDS
def test_embedded_symbols_to_numbers(isa, kind, dtype):
    assert_unroll(kind, "symbols", "numbers", dtype, 6, 4, embedding_size=3)
    assert_unroll(kind, "symbols", "symbols", dtype, 9, 8, embedding_size=2, num_layers=2)


@pytest.mark.parametrize(("inputs", "K"), [(1, 1), (2, 33), (16, 3), (17, 64), (70, 2)])
@DTYPES
def test_sizes_of_inputs_and_outputs(isa, dtype, inputs, K):
    """One number, a register and one more, several panels."""
    for kind in ("relu", "lstm"):
        assert_unroll(kind, "numbers", "numbers", dtype, 5, 14, inputs=inputs, K=K)


@BOTH
@ALL_KINDS
def test_gradcheck(kind, reads, predicts):
    """Masks and unequal lengths, through the compiled kernels; every entry of every tensor."""
    model = model_of(kind, reads, predicts, H=5, inputs=3, K=4, num_layers=2)
    x, y, mask, lengths, state = arrays_of(model, 6, 7)
    report = fastrnn.gradcheck(model, x, y, state=state, mask=mask, lengths=lengths)
    assert report.passed and report.max_error < 1e-6
    assert all(worst.checked == worst.size for worst in report.worst.values())
    # and it would notice: a step more that counts is another gradient
    other = mask.copy()
    other[np.argmax(lengths > 1), 1] ^= True
    _, grads, _ = model.loss_and_gradients(x, y, state, mask=mask, lengths=lengths)
    _, others, _ = model.loss_and_gradients(x, y, state, mask=other, lengths=lengths)
    assert max(np.abs(grads[name] - others[name]).max() for name in grads) > 1e-3


# ---- padding ----

@BOTH
@ALL_KINDS
def test_padded_sequences_are_as_if_alone(kind, reads, predicts):
    """The sum of the losses and gradients of sequences that are read one by one, unpadded."""
    model = model_of(kind, reads, predicts, num_layers=2)
    N = 11
    x, y, mask, lengths, state = arrays_of(model, N, 9)
    loss, grads, last = model.loss_and_gradients(x, y, state, mask=mask, lengths=lengths)
    total, sums = 0.0, dict.fromkeys(grads, 0.0)
    for n, length in enumerate(lengths):
        one = slice(n, n + 1), slice(0, length)
        alone, g, end = model.loss_and_gradients(x[one], y[one], state[n : n + 1], mask=mask[one])
        assert np.allclose(last[n], end[0], rtol=0, atol=1e-13)
        total += alone / N
        sums = {name: sums[name] + g[name] / N for name in g}
    assert loss == pytest.approx(total, rel=1e-13)
    for name, g in grads.items():
        assert np.abs(g - sums[name]).max() < 1e-12 * max(1, np.abs(sums[name]).max())


@DTYPES
@BOTH
@ALL_KINDS
def test_what_lies_in_padding_changes_no_bit(kind, reads, predicts, dtype):
    model = model_of(kind, reads, predicts, dtype=dtype)
    x, y, mask, lengths, state = arrays_of(model, 5, 6)
    loss, grads, last = model.loss_and_gradients(x, y, state, mask=mask, lengths=lengths)
    behind = np.arange(6) >= lengths[:, None]
    other_x, other_y, other_mask = x.copy(), y.copy(), mask.copy()
    other_x[behind] = 99 if x.ndim == 2 else np.nan
    other_y[behind | ~mask] = -100 if y.ndim == 2 else np.inf
    other_mask[behind] = True
    other, others, end = model.loss_and_gradients(
        other_x, other_y, state, mask=other_mask & (mask | behind), lengths=lengths)
    assert other == loss and np.array_equal(last, end)
    assert all(np.array_equal(grads[name], others[name]) for name in grads)


@pytest.mark.parametrize("kind", ["relu", "memory"])
def test_states_that_overflow_in_padding(isa, kind):
    """Three times as large with each step: in float32 infinite long before the padding ends."""
    model = model_of(kind, "numbers", "numbers", dtype="float32")
    model.params["layer0.Wh"][:] = 3 * np.eye(7)
    if kind == "memory":
        model.params["layer0.Wm"][:] = 3 * np.eye(7)
    model.params["layer0.b"][:] = 1
    x, y, _, _, _ = arrays_of(model, 4, 200)
    lengths = [3, 2, 4, 1]
    loss, grads, last = model.loss_and_gradients(x, y, lengths=lengths)
    short, expected, end = model.loss_and_gradients(x[:, :4], y[:, :4], lengths=lengths)
    assert np.isfinite(loss) and loss == short and np.array_equal(last, end)
    for name, g in grads.items():
        assert_close(g, expected[name], 1e-6, name)
    assert not np.isfinite(model.losses(x, y)).all()  # without the lengths it is infinite indeed


# ---- training ----

def sequences_of(reads, predicts, n=23, T=6, seed=3):
    model = model_of("rnn", reads, predicts)
    x, y, mask, lengths, _ = arrays_of(model, n, T, seed)
    return Sequences(x, y, mask, lengths)


def trainer_of(sequences, model=None, **keywords):
    model = model or fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=7, dtype="float64")
    return fastrnn.Trainer(model, sequences, **(dict(
        batch_size=5, optimizer="adam", learning_rate=0.01, clip_value=None, clip_norm=0.5,
        progress=False, seed=4, scale=False) | keywords))


@BOTH
def test_updates_are_those_of_a_loop_by_hand(reads, predicts):
    """Two epochs: each has every sequence once, and its last batch the three that are left over."""
    sequences = sequences_of(reads, predicts)
    trainer = trainer_of(sequences)
    model = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=7, dtype="float64")
    optimizer = fastrnn.optim.Adam(model.params, 0.01)
    losses, seen = [], []
    for update in range(2 * 5):
        starts, lengths, _ = trainer._updates.rows(1)
        rows = starts[lengths > 0] // 6
        seen.append(rows)
        assert len(rows) == (3 if update % 5 == 4 else 5)
        part = sequences[rows]
        loss, grads, _ = model.loss_and_gradients(  # from the zero state
            part.inputs, part.targets, mask=part.mask, lengths=part.lengths)
        fastrnn.optim.clip_norm_(grads, 0.5)
        optimizer.step(grads)
        losses.append(loss)
        trainer.run(updates=1)
    assert np.allclose(trainer.history.loss, losses, rtol=1e-11)
    assert np.allclose(trainer.model.block, model.block, atol=1e-12)
    assert (trainer.epoch, trainer.position, trainer.updates_per_epoch) == (2, 0, 5)
    first, second = np.concatenate(seen[:5]), np.concatenate(seen[5:])
    assert sorted(first) == sorted(second) == list(range(23))
    assert not np.array_equal(first, second)
    assert not trainer.state.any()


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "rmsprop"])
@BOTH
def test_every_optimizer_by_hand(reads, predicts, optimizer):
    """AdaGrad and plain gradient descent leave out rows that no symbol picks; numbers have none."""
    sequences = sequences_of(reads, predicts)
    trainer = trainer_of(sequences, optimizer=optimizer, clip_value=0.05, clip_norm=None)
    model = fastrnn.Model(sequences.sizes, cell="lstm", hidden_size=7, dtype="float64")
    rule = getattr(fastrnn.optim, {"adagrad": "AdaGrad", "sgd": "SGD", "rmsprop": "RMSProp"}[
        optimizer])(model.params, 0.01)
    for _ in range(6):
        starts, lengths, _ = trainer._updates.rows(1)
        part = sequences[starts[lengths > 0] // 6]
        _, grads, _ = model.loss_and_gradients(
            part.inputs, part.targets, mask=part.mask, lengths=part.lengths)
        fastrnn.optim.clip_value_(grads, 0.05)
        rule.step(grads)
        trainer.run(updates=1)
    assert np.allclose(trainer.model.block, model.block, atol=1e-12)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("cell", ["relu", "gru"])
def test_threads_give_the_same_bits(cell):
    sequences = sequences_of("numbers", "symbols", n=50)
    blocks = []
    for threads in (1, 2, 3):
        model = fastrnn.Model(sequences.sizes, cell=cell, hidden_size=9, dropout=0.2)
        trainer = trainer_of(sequences, model, batch_size=20, threads=threads)
        trainer.run(updates=7)
        blocks.append(trainer.model.block)
    assert all(np.array_equal(block, blocks[0]) for block in blocks)


@BOTH
def test_cut_and_resumed_in_the_middle_of_an_epoch(reads, predicts, tmp_path):
    sequences, path = sequences_of(reads, predicts), tmp_path / "cut.safetensors"
    first = trainer_of(sequences, updates=16)
    first.run(updates=8)
    first.save(path)
    first.run()
    again = fastrnn.Trainer.from_checkpoint(path, sequences, progress=False)
    assert (again.epoch, again.position) == (1, 3)
    again.run()
    assert np.array_equal(again.model.block, first.model.block)
    assert np.array_equal(again.history.loss, first.history.loss)
    resumed = classic(sequences, resume=path, progress=False)
    assert np.array_equal(resumed.block, first.model.block)
    for other in (sequences_of(reads, predicts, seed=5), sequences[:-1]):
        with pytest.raises(ValueError, match="not the same sequences"):
            classic(other, resume=path, progress=False)
    with pytest.raises(ValueError, match="not the same text"):
        classic(fastrnn.Corpus.from_text("abc" * 50), resume=path, progress=False)


@BOTH
def test_what_is_held_out(reads, predicts):
    """Random sequences, scored after each epoch; the best model comes back."""
    sequences = sequences_of(reads, predicts)
    seen = []
    model = classic(
        sequences, cell="gru", hidden_size=6, dtype="float64", batch_size=4, epochs=4,
        valid_fraction=7 / 23, optimizer="adam", learning_rate=0.05, progress=False, sample_every=4,
        callback=lambda trainer: seen.append((trainer.update, trainer.model.copy())) and None)
    assert list(model.history.valid_updates) == [4, 8, 12, 16]
    (train, held_out), scores = sequences.hold_out(7 / 23, 0), []
    assert len(held_out) == 7
    for update, other in seen:
        if update in (4, 8, 12, 16):
            scores.append(other.score(held_out))
    assert np.allclose(model.history.valid_loss, scores[:4], rtol=1e-12)
    assert model.score(held_out) == pytest.approx(min(scores), rel=1e-12)
    assert len(set(scores[:4])) == 4
    # trained on the others only
    assert model.history.seq_length == pytest.approx(train.mask.sum() / 16)


def test_accuracy_after_each_epoch():
    sequences = sequences_of("numbers", "symbols")
    model = classic(sequences, cell="lstm", hidden_size=30, batch_size=23, epochs=60,
                          optimizer="adam", learning_rate=0.03, accuracy=True, progress=False)
    assert len(model.history.accuracy) == 60
    assert model.history.accuracy[-1] == model.accuracy(sequences)
    assert model.history.accuracy[-1] > 0.9 > model.history.accuracy[0]


def test_a_step_that_does_not_count_is_not_learned():
    """Its target is the opposite of what a step that counts says."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 1))
    y = np.stack([x[:, 0] > 0, x[:, 0] < 0, x[:, 0] > 0], axis=1)[..., 0].astype(int)
    mask = np.array([[False, False, True]]).repeat(40, axis=0)
    model = classic(Sequences(x, y, mask), cell="rnn", hidden_size=8, batch_size=40,
                          epochs=300, optimizer="adam", learning_rate=0.02, progress=False)
    assert model.accuracy(Sequences(x, y, mask)) == 1
    assert model.accuracy(Sequences(x, y)) < 0.9


# ---- what a model of sequences can be asked ----

@BOTH
@pytest.mark.parametrize("kind", ["relu", "lstm", "memory"])
def test_predict_score_and_accuracy(kind, reads, predicts, monkeypatch):
    model = model_of(kind, reads, predicts)
    x, y, mask, lengths, _ = arrays_of(model, 13, 6)
    symbols = model.sizes.input_symbols or model.sizes.output_symbols or None
    sequences = Sequences(x, y, mask, lengths, symbols=symbols)
    outputs, _, _, _ = reference.forward(dict(model.params), x, model.zero_state(13),
                                         model.config["cell"])
    predicted = outputs
    if predicts == "symbols":
        shares = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        predicted = shares / shares.sum(axis=2, keepdims=True)
    counted = sequences.mask
    n, t = np.nonzero(counted)
    score = (-np.log(predicted[n, t, y[n, t]]).mean() if predicts == "symbols"
             else ((predicted - y)[counted] ** 2).mean())
    for rows in (6, 24, 10**6):  # one sequence at a time, four with a rest of one, all at once
        monkeypatch.setattr("fastrnn.model.prediction.ROWS", rows)
        monkeypatch.setattr("fastrnn.data.sequences.ROWS", rows)
        assert np.allclose(model.predict(x), predicted, rtol=0, atol=1e-12)
        assert np.array_equal(model.predict(Sequences(x, y, symbols=symbols)), model.predict(x))
        assert model.score(sequences) == pytest.approx(score, rel=1e-12)
        if predicts == "numbers":
            with pytest.raises(ValueError, match="accuracy is for targets that are symbols"):
                model.accuracy(sequences)
            continue
        right = predicted.argmax(axis=2) == y
        assert model.accuracy(sequences) == pytest.approx(right[counted].mean())
        last = [right[i, np.flatnonzero(counted[i])[-2:]] for i in range(13)]
        assert model.accuracy(sequences, last=2) == pytest.approx(np.concatenate(last).mean())


def test_extrapolate_numbers(monkeypatch):
    """Each prediction is the next input; so is what predict makes of the longer sequence."""
    model = model_of("lstm", "numbers", "numbers", inputs=3, K=3)
    x = np.random.default_rng(0).normal(size=(5, 4, 3))
    for rows in (8, 10**6):
        monkeypatch.setattr("fastrnn.model.prediction.ROWS", rows)
        found = model.extrapolate(x, 6)
        assert found.shape == (5, 6, 3)
        both = np.concatenate([x, found[:, :-1]], axis=1)
        assert np.allclose(model.predict(both)[:, 3:], found, rtol=0, atol=1e-12)
        assert np.array_equal(model.extrapolate(x, 1), found[:, :1])


@BOTH
@pytest.mark.parametrize("kind", ["relu", "lstm", "memory"])
def test_sequences_are_continued_from_where_they_end(kind, reads, predicts, monkeypatch):
    model = model_of(kind, reads, predicts, inputs=3, K=3)
    x, y, _, lengths, _ = arrays_of(model, 7, 5)
    s = Sequences(x, y, lengths=lengths, symbols=3 if "symbols" in (reads, predicts) else None)
    for rows in (10, 10**6):
        monkeypatch.setattr("fastrnn.model.prediction.ROWS", rows)
        predicted = model.predict(s)
        for n, length in enumerate(lengths):
            alone = x[n : n + 1, :length]
            assert np.allclose(predicted[n, :length], model.predict(alone)[0], rtol=0, atol=1e-12)
            assert np.isnan(predicted[n, length:]).all()
            if reads == predicts:
                assert np.allclose(model.extrapolate(s, 3)[n], model.extrapolate(alone, 3)[0],
                                   rtol=0, atol=1e-12)


def test_extrapolate_symbols():
    model = model_of("gru", "symbols", "symbols")
    x = np.random.default_rng(0).integers(0, 4, (5, 3))
    found = model.extrapolate(x, 6)
    assert found.shape == (5, 6)
    both = np.concatenate([x, found[:, :-1]], axis=1)
    assert np.array_equal(model.predict(both)[:, 2:].argmax(axis=2), found)


def test_what_cannot_be_fed_back():
    for model in (model_of("rnn", "numbers", "numbers"), model_of("rnn", "symbols", "numbers", K=4),
                  model_of("rnn", "numbers", "symbols", K=4)):
        with pytest.raises(ValueError, match="same kind and size"):
            model.extrapolate(np.zeros((2, 3, 4)) if model.sizes.input_size else [[0, 1]], 3)


def test_a_model_of_text_predicts_too():
    corpus = fastrnn.Corpus.from_text("to be or not to be")
    model = fastrnn.Model(corpus.vocabulary, hidden_size=8, init="uniform", init_scale=0.5)
    ids = corpus.ids[None]
    shares = model.predict(ids)
    assert np.allclose(shares.sum(axis=2), 1)
    losses = model.losses(ids[:, :-1], ids[:, 1:])[0]
    picked = shares[0, np.arange(len(corpus) - 1), corpus.ids[1:]]
    assert np.allclose(-np.log(picked), losses, rtol=1e-5)
    with pytest.raises(ValueError, match="last is for sequences"):
        model.accuracy(corpus, last=3)
    with pytest.raises(ValueError, match="sequences.*, and this model has"):
        model.score(Sequences(np.zeros((2, 3, 1)), np.zeros((2, 3, 1))))


@BOTH
def test_saved_and_loaded(reads, predicts, tmp_path, capsys):
    from fastrnn.cli import main

    model = model_of("lstm", reads, predicts, dropout=0.25)
    x, _, _, _, _ = arrays_of(model, 3, 4)
    path = tmp_path / "m.safetensors"
    model.save(path)
    other = fastrnn.load(path)
    assert other.sizes == model.sizes and other.config == model.config and other.vocabulary is None
    assert np.array_equal(other.predict(x), model.predict(x))
    assert np.array_equal(model.copy().predict(x), model.predict(x))
    assert main(["info", str(path)]) == 0
    assert str(model.sizes) in capsys.readouterr().out
    assert str(model.sizes) in repr(model)
    assert main(["sample", str(path)]) != 0
    assert "made for sequences" in capsys.readouterr().err


def test_it_writes_no_text():
    model = model_of("rnn", "symbols", "symbols")
    trainer = trainer_of(sequences_of("symbols", "symbols"))
    for ask in (lambda: model.sample(3), lambda: next(model.stream(length=3)),
                lambda: model.score("abc"), lambda: model.accuracy("abc"), trainer.sample):
        with pytest.raises(ValueError, match="made for sequences, not for a text"):
            ask()
    with pytest.raises(ValueError, match="made for sequences, not for a text"):
        model.score(fastrnn.Corpus.from_text("abc"))


def test_an_interrupt_in_a_callback_loses_nothing(tmp_path, capsys):
    def interrupt(trainer):
        if trainer.update == 4:
            raise KeyboardInterrupt

    sequences, path = sequences_of("numbers", "numbers"), tmp_path / "m.safetensors"
    model = classic(sequences, hidden_size=4, batch_size=4, updates=30, sample_every=2,
                          callback=interrupt, checkpoint=path, progress=False)
    assert model.history.stopped == "interrupted" and len(model.history) == 4
    assert "interrupted after 4 updates" in capsys.readouterr().err
    resumed = classic(sequences, resume=path, progress=False)
    whole = classic(sequences, hidden_size=4, batch_size=4, updates=30, progress=False)
    assert np.array_equal(resumed.block, whole.block)


def test_progress_of_sequences(capfd):
    classic(sequences_of("numbers", "numbers"), hidden_size=4, updates=30, batch_size=4,
            valid_fraction=0.3, sample_every=10)
    out, err = capfd.readouterr()
    assert "----" not in out  # there is no text to show
    assert out.startswith("data        sequences: ") and "loss        mean squared error" in out
    assert "(validation " in err and "steps/s" in err and "100%" in err


# ---- Sequences ----

def test_what_is_kept():
    x = np.array([[[1.0], [2.0], [np.nan]], [[3.0], [4.0], [5.0]]])
    y = np.array([[7, 2, -1], [0, 1, 3]])
    s = Sequences(x, y, [[0, 1, 1], [1, 1, 0]], [2, 3], name="two")
    assert s.inputs[..., 0].tolist() == [[1, 2, 0], [3, 4, 5]]
    assert s.targets.tolist() == [[0, 2, 0], [0, 1, 0]] and s.targets.dtype == np.uint8
    assert s.mask.tolist() == [[False, True, False], [True, True, False]]
    assert (s.lengths.tolist(), s.ends.tolist()) == ([2, 3], [2, 2])
    assert s.sizes == Sizes(input_size=1, output_symbols=3) and s.sizes.loss == "cross_entropy"
    assert repr(s) == "<Sequences 'two': 2 of 3 steps, 1 number in, 3 symbols out, 3 steps count>"
    x[:] = 0
    assert s.inputs.any()  # a copy
    assert len(s) == 2 and len(s[1:]) == 1
    assert s[[1, 0]].lengths.tolist() == [3, 2] and s[[1, 0]].sizes == s.sizes
    assert s[1:].inputs[..., 0].tolist() == [[3, 4, 5]]
    assert s.fingerprint() == s[:].fingerprint() != s[[1, 0]].fingerprint()


def test_symbols():
    assert Sequences([[0, 1], [1, 0]], [[0, 3], [1, 0]]).sizes == Sizes(
        input_symbols=4, output_symbols=4)
    assert Sequences([[0, 0]], [[0, 0]]).sizes.input_symbols == 2  # one leaves no choice
    many = Sequences([[0, 70_000]], [[0, 300]])
    assert many.inputs.dtype == many.targets.dtype == np.uint32
    assert Sequences([[0, 1]], [[0, 1]], symbols=10)[:1].sizes.output_symbols == 10
    model = fastrnn.Model(Sizes(input_symbols=4, output_symbols=4), hidden_size=3)
    model.check(Sequences([[0, 1]], [[0, 2]]))  # not all need come
    with pytest.raises(ValueError, match="have 5 symbols in.*this model has 4 symbols in"):
        model.check(Sequences([[0, 1]], [[0, 4]]))


NUMBERS, SYMBOLS = np.zeros((4, 5, 2)), np.zeros((4, 5), int)


def spoiled(array, place, value):
    array = array.astype(float) if isinstance(value, float) else array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((spoiled(NUMBERS, (2, 3, 1), np.nan), SYMBOLS), ValueError,
     "inputs have nan in sequence 2 at step 3"),
    ((NUMBERS, spoiled(NUMBERS, (1, 4, 0), -np.inf)), ValueError,
     "targets have -inf in sequence 1 at step 4"),
    ((NUMBERS, spoiled(SYMBOLS, (3, 0), -1)), ValueError,
     "targets have the symbol -1 in sequence 3 at step 0: they go from 0 to"),
    ((SYMBOLS, spoiled(SYMBOLS, (3, 2), 9), None, None, 6), ValueError,
     "targets have the symbol 9 in sequence 3 at step 2: they go from 0 to 5"),
    ((NUMBERS, SYMBOLS, np.zeros((4, 5))), ValueError, "mask hides every step of sequence 0"),
    ((NUMBERS, SYMBOLS, np.arange(20).reshape(4, 5) >= 15), ValueError,
     "mask hides every step of sequence 0"),
    ((NUMBERS, SYMBOLS, np.arange(20).reshape(4, 5) % 5 > 2, [4, 5, 3, 5]), ValueError,
     "mask hides every step of sequence 2"),
    ((NUMBERS, SYMBOLS, np.full((4, 5), 0.5)), ValueError, "mask must be of bool"),
    ((NUMBERS, SYMBOLS, np.ones((5, 4))), ValueError, r"mask has the shape \(5, 4\)"),
    ((NUMBERS, SYMBOLS, None, [5, 6, 5, 5]), ValueError,
     "lengths has 6 for sequence 1: they go from 1 to the 5"),
    ((NUMBERS, SYMBOLS, None, [5, 5, 5, 0]), ValueError, "lengths has 0 for sequence 3"),
    ((NUMBERS, SYMBOLS, None, [5, 5]), ValueError, "lengths must be 4 whole numbers"),
    ((NUMBERS, SYMBOLS, None, [5.0] * 4), ValueError, "lengths must be 4 whole numbers"),
    ((NUMBERS, SYMBOLS[:3]), ValueError, r"inputs are \(4, 5, 2\) and targets \(3, 5\)"),
    ((NUMBERS[:, :, 0], SYMBOLS), ValueError, r"inputs\[..., None\] if it is 4 sequences"),
    ((NUMBERS.astype(int), SYMBOLS), ValueError, r"convert numbers with inputs.astype\(float\)"),
    ((SYMBOLS, SYMBOLS[0]), ValueError, r"must have the shape \(N, T\), not \(5,\)"),
    ((NUMBERS[:0], SYMBOLS[:0]), ValueError, "inputs are empty"),
    ((NUMBERS[:, :, :0], SYMBOLS), ValueError, "inputs are empty"),
    (([[0, 1], [0]], [[0, 1], [0]]), TypeError, "mixed types or lengths.*give their lengths"),
    ((SYMBOLS.astype(object), SYMBOLS), TypeError, "inputs must be whole numbers"),
    ((SYMBOLS, SYMBOLS.astype(bool)), TypeError, "targets must be .* not bool"),
    ((SYMBOLS, np.full((4, 5), "a")), TypeError, "targets must be .* not"),
    ((NUMBERS + 1j, SYMBOLS), TypeError, "not of complex numbers"),
    ((SYMBOLS, SYMBOLS, None, None, 1), ValueError, "symbols must be a whole number of at least 2"),
])
def test_bad_sequences(arguments, error, message):
    inputs, targets, mask, lengths, symbols = arguments + (None,) * (5 - len(arguments))
    with pytest.raises(error, match=message):
        Sequences(inputs, targets, mask, lengths, symbols=symbols)


def test_bad_picks():
    s = sequences_of("numbers", "symbols")
    for rows in (slice(0, 0), [99], []):
        with pytest.raises(IndexError):
            s[rows]
    for rows in (3, np.zeros((2, 2), int)):
        with pytest.raises(TypeError, match="by a slice or an array of rows"):
            s[rows]
    with pytest.raises(TypeError):
        list(s)


def test_bad_training():
    s = sequences_of("numbers", "symbols")
    refused(classic, s, [
        ({"batch_size": 24}, "has 23 sequences to train on, and batch_size is 24"),
        ({"batch_size": 23, "valid_fraction": 0.1}, "at most 21"),
        ({"valid_fraction": 0.01}, "is 0 of the 23 sequences"),
        ({"seq_length": 9}, "are read whole, all 6 steps"),
        ({"order": "shuffled"}, "are read whole"),
        ({"embedding_size": 3}, "embedding_size is for inputs that are symbols"),
        ({"labels": ["a"]}, "labels and balance are for records"),
        ({"valid_fraction": 0.99}, "leaves none of the 23 sequences"),
        ({"loss": "mean_squared_error"}, "does not fit 4 numbers in, 5 symbols out"),
    ])
    with pytest.raises(ValueError, match="accuracy is for predictions of symbols"):
        classic(sequences_of("numbers", "numbers"), accuracy=True, progress=False)
    with pytest.raises(ValueError, match="too many for one unroll"):
        fastrnn.Model(s.sizes, hidden_size=1).network(2**20, 2**10)
    with pytest.raises(ValueError, match="this model has 4 symbols in, 4 symbols out"):
        trainer_of(s, model_of("rnn", "symbols", "symbols"))
    with pytest.raises(ValueError, match="other sizes|this model has"):
        trainer_of(sequences_of("numbers", "numbers"), fastrnn.Model(s.sizes))
    model = model_of("rnn", "numbers", "symbols")
    for x, message in ((np.zeros((2, 3, 5)), r"must have \(N, T, 4\)"),
                       (np.full((2, 3, 4), np.nan), "NaN or infinity")):
        with pytest.raises(ValueError, match=message):
            model.predict(x)
    with pytest.raises(ValueError, match="inputs has 4 at"):
        model_of("rnn", "symbols", "symbols").predict([[0, 4]])
    with pytest.raises(TypeError, match="fastrnn.Sizes, such as sequences.sizes"):
        fastrnn.Model(s)


def test_bad_sizes():
    for sizes, message in (({}, "either input_symbols or input_size"),
                           ({"input_size": 2, "input_symbols": 3}, "either input_symbols"),
                           ({"input_size": 2}, "either output_symbols or output_size"),
                           ({"input_size": 2, "output_symbols": 1}, "at least 2"),
                           ({"input_size": -2, "output_size": 1}, "at least 0")):
        with pytest.raises(ValueError, match=message):
            Sizes(**sizes)


def test_the_border_checks_a_batch():
    model = model_of("rnn", "numbers", "symbols", dtype="float32")
    x, y, mask, lengths, state = arrays_of(model, 3, 4)
    batch = Sequences(x, y, mask, lengths, symbols=5).batch(np.arange(3), "float32")
    network = model.network(4, 3)
    for name, value in (("lengths", np.array([1, 2, 5])), ("lengths", np.array([-1, 2, 3])),
                        ("lengths", np.array([1, 1, 1])), ("targets", batch["targets"] + 5),
                        ("inputs", batch["inputs"][:, :, :3]), ("mask", None),
                        ("mask", batch["mask"].astype(bool))):
        with pytest.raises(ValueError):
            network.unroll(model.block, **(batch | {name: value}), state=state)
    training = trainer_of(sequences_of("numbers", "symbols"))._updates.training
    rates, starts, steps = np.ones(2), np.zeros(10, np.int64), np.ones(10, np.int64)
    for change in ((starts - 1, steps), (starts + 138, steps), (starts, steps + 6),
                   (starts, steps - 2), (starts, np.array([1] * 5 + [0] * 5)), (starts, None),
                   (None, None), (starts[:5], steps[:5])):
        with pytest.raises(ValueError):
            training.run(rates, *change)


# ---- how many parameters ----

@pytest.mark.parametrize("kind", KINDS)
def test_parameter_counts(kind):
    for sizes, layers, E in itertools.product(
            (Sizes(input_size=3, output_size=2), Sizes(input_symbols=10, output_symbols=10)),
            (1, 2), (None, 4)):
        if E and sizes.input_size:
            continue
        settings = cell_of(kind) | {"num_layers": layers, "embedding_size": E}
        model = fastrnn.Model(sizes, hidden_size=13, **settings)
        count = fastrnn.parameter_count(model)
        assert count == sum(p.size for p in model.params.values())
        cell = settings.pop("cell")
        assert fastrnn.hidden_size_for(cell, count, sizes, **settings) == 13
        more = fastrnn.parameter_count(fastrnn.Model(sizes, cell=cell, hidden_size=14, **settings))
        for between, nearest in ((count + (more - count) // 2 - 1, 13),
                                 (more - (more - count) // 3, 14)):
            assert fastrnn.hidden_size_for(cell, between, sizes, **settings) == nearest


def test_hidden_size_of_a_text_and_too_few_parameters():
    vocabulary = fastrnn.Vocabulary("abcdefgh")
    lstm = fastrnn.Model(vocabulary, cell="lstm", hidden_size=50)
    H = fastrnn.hidden_size_for("rnn", parameters=fastrnn.parameter_count(lstm),
                                vocabulary=vocabulary)
    rnn = fastrnn.Model(vocabulary, cell="rnn", hidden_size=H)
    assert abs(fastrnn.parameter_count(rnn) / fastrnn.parameter_count(lstm) - 1) < 0.01
    with pytest.raises(ValueError, match="a lstm of one unit has 56 parameters already"):
        fastrnn.hidden_size_for("lstm", 50, vocabulary)
    labelled = fastrnn.Model(vocabulary, hidden_size=21, labels=list("abc"))
    assert fastrnn.hidden_size_for("rnn", fastrnn.parameter_count(labelled), vocabulary,
                                   labels=list("abc")) == 21
    with pytest.raises(ValueError, match="embedding_size must be"):
        fastrnn.hidden_size_for("lstm", 500, vocabulary, embedding_size=-50)
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        fastrnn.hidden_size_for("lstn", 500, vocabulary)

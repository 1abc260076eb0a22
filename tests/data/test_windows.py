"""Long sequences, read as a text is: truncated back-propagation, window by window, with the state
carried.

The loop is made again by hand with reference.py: each row by itself, so that streams, carried
states, masks, weights and lengths are all told apart."""
import itertools

import numpy as np
import pytest
from networks import KINDS, cell_of
from runs import classic, refused

import fastrnn
from fastrnn import Sequences
from fastrnn.checks import reference

pytestmark = pytest.mark.filterwarnings("ignore:the model is worse than the mean")

D, K, T, N = 3, 2, 5, 4
LENGTHS = np.array([31, 12, 4, 38])  # windows of 5: 7, 3, 1 and 8


def series_of(reads="numbers", predicts="numbers", seed=0, weighted=False, n=4):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, (n, 40)) if reads == "symbols" else rng.normal(size=(n, 40, D))
    y = rng.integers(0, 6, (n, 40)) if predicts == "symbols" else rng.normal(size=(n, 40, K))
    mask = rng.random((n, 40)) < 0.8
    mask[0, 10:15] = False  # a window that is read and does not count
    mask[np.arange(n), LENGTHS[:n] - 1] = True  # all steps are read
    return Sequences(x, y, mask, LENGTHS[:n], symbols=6 if "symbols" in (reads, predicts) else None,
                     weights=rng.uniform(0.2, 3, (n, 40)) if weighted else None)


def trainer_of(source, kind="lstm", **settings):
    shape = {"hidden_size": 7, "dtype": "float64", "dropout": settings.pop("dropout", 0.0)}
    model = fastrnn.Model(source.sizes, **cell_of(kind), **shape)
    rng = np.random.default_rng(3)
    for name, p in model.params.items():
        p[:] = rng.normal(0, 0.1 if name.endswith("Wm") else 0.7 / len(p) ** 0.5, p.shape)
    return fastrnn.Trainer(model, source, **{
        "seq_length": T, "batch_size": N, "optimizer": "sgd", "learning_rate": 0.01, "scale": False,
        "clip_value": None, "epochs": 3, "progress": False, "seed": 5} | settings)


def streams_of(order):
    """The (sequence, first step, steps, whether it starts at zero) of every window of each of the N
    streams, where the sequences come in this order."""
    windows = [(row, first, min(T, LENGTHS[row] - first))
               for row in order for first in range(0, LENGTHS[row], T)]
    cuts = [len(windows) * n // N for n in range(N + 1)]
    return [[(*each, i == 0 or each[1] == 0) for i, each in enumerate(windows[a:b])]
            for a, b in itertools.pairwise(cuts)]


def order_of(trainer, n=4):
    """In which order the sequences come in an epoch, from the windows that begin one."""
    starts = trainer._updates.rows(trainer.updates_per_epoch)[0].reshape(-1, N).T
    lengths = trainer._updates.rows(trainer.updates_per_epoch)[1].reshape(-1, N).T
    rows = starts[lengths > 0] // 40
    return list(dict.fromkeys(rows.tolist()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reads", "predicts"), [
    ("numbers", "numbers"), ("symbols", "symbols"), ("symbols", "numbers"), ("numbers", "symbols")])
def test_every_update_is_that_of_the_reference(isa, kind, reads, predicts):
    source = series_of(reads, predicts, weighted=True)
    trainer = trainer_of(source, kind)
    params = {name: p.copy() for name, p in trainer.model.params.items()}
    factors, orders = source.weights, []
    assert trainer.updates_per_epoch == 5  # 19 windows in 4 streams
    for _ in range(2):
        order = order_of(trainer)
        orders.append(order)
        streams = streams_of(order)
        states = [np.zeros((1, trainer.state.shape[1])) for _ in range(N)]
        for i in range(5):
            rows, total = [n for n in range(N) if i < len(streams[n])], 0.0
            grads = {name: np.zeros_like(p) for name, p in params.items()}
            for n in rows:
                row, first, steps, fresh = streams[n][i]
                at = slice(first, first + steps)
                start = np.zeros_like(states[n]) if fresh else states[n]
                loss, each, states[n] = reference.loss_and_gradients(
                    params, source.inputs[None, row, at], source.targets[None, row, at], start,
                    trainer.model.config["cell"], mask=factors[None, row, at])
                total += loss / len(rows)
                for name in grads:
                    grads[name] += each[name] / len(rows)
            trainer.run(updates=1)
            assert trainer.history.loss[-1] == pytest.approx(total, rel=1e-9)
            for name, p in params.items():
                p -= 0.01 * grads[name]
                assert np.allclose(trainer.model.params[name], p, rtol=0, atol=1e-11), name
            for n in rows:
                assert np.allclose(trainer.state[n], states[n][0], rtol=0, atol=1e-10)
                assert np.abs(states[n]).max() > 1e-3
    assert {*orders[0]} == {0, 1, 2, 3} and orders[0] != orders[1]


def test_one_series_of_symbols_is_read_as_the_same_text():
    rng = np.random.default_rng(1)
    text = "".join(rng.choice([*"abcde"], 7 * 20 + 2))
    corpus = fastrnn.Corpus.from_text(text)
    ids, K = corpus.ids[: 7 * 20 + 1], len(corpus.vocabulary)
    series = Sequences(ids[None, :-1].astype(int), ids[None, 1:].astype(int), symbols=K)
    how = {"cell": "gru", "hidden_size": 9, "seq_length": 7, "batch_size": 1, "epochs": 2,
           "dropout": 0.2, "optimizer": "adam", "seed": 2, "progress": False}
    a, b = classic(corpus, **how), classic(series, **how)
    assert len(a.history) == 40
    assert np.array_equal(a.block, b.block) and np.array_equal(a.history.loss, b.history.loss)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("cell", ["relu", "lstm"])
def test_threads_give_the_same_bits(cell):
    source, blocks = series_of(n=3), []
    for threads in (1, 2, 3):
        trainer = trainer_of(source, cell, batch_size=11, dropout=0.2, threads=threads)
        trainer.run()
        blocks.append((trainer.model.block.tobytes(), trainer.state.tobytes()))
    assert len({*blocks}) == 1


def test_cut_and_resumed_in_the_middle_of_an_epoch(tmp_path):
    source, path = series_of(), tmp_path / "cut.safetensors"
    first = trainer_of(source, optimizer="adam", valid_fraction=0.2)
    first.run(updates=first.updates_per_epoch + 2)
    assert first.state.any() and first.position == 2
    first.save(path)
    first.run()
    again = fastrnn.Trainer.from_checkpoint(path, source, progress=False)
    assert again.state.any() and (again.epoch, again.position) == (1, 2)
    again.run()
    resumed = fastrnn.train(source, resume=path, progress=False)
    assert np.array_equal(again.model.block, first.model.block)
    assert np.array_equal(again.history.loss, first.history.loss)
    assert np.array_equal(resumed.history.valid_loss, first.history.valid_loss)
    assert np.array_equal(resumed.block, first.best_model().block)
    with pytest.raises(ValueError, match="seq_length=5 and cannot go on with 6"):
        fastrnn.train(source, resume=path, seq_length=6, progress=False)


def test_a_look_at_the_loss_changes_nothing():
    """The loss of the next update starts from the carried states too."""
    source = series_of()
    trainer = trainer_of(source)
    for _ in range(7):
        block, state = trainer.model.block.copy(), trainer.state.copy()
        starts, lengths = trainer._updates.rows(1)[:2]
        count = sum(source.mask.ravel()[start : start + n].sum()
                    for start, n in zip(starts, lengths, strict=True))
        found = trainer._updates.look() * trainer._updates.guess
        assert np.array_equal(trainer.state, state) and np.array_equal(trainer.model.block, block)
        trainer.run(updates=1)
        total = trainer.history.loss[-1] * np.count_nonzero(lengths)
        assert found == pytest.approx(total / count, rel=1e-12)


def test_the_tail_in_time_is_held_out():
    source = series_of()
    trainer = trainer_of(source, valid_fraction=0.25)
    held = np.rint(LENGTHS / 4).astype(int)  # 8, 3, 1 and 10
    trainer.run(updates=trainer.updates_per_epoch)
    predicted = np.concatenate([trainer.model.predict(source)[n, :] for n in range(4)]).reshape(
        4, 40, K)
    # read from as many steps before as there are: those predictions are of a model that began there
    total = count = 0.0
    for n, (length, h) in enumerate(zip(LENGTHS, held, strict=True)):
        start, cut = length - 2 * h, length - h
        found = trainer.model.predict(source.inputs[n : n + 1, start:length])[0, h:]
        errors = ((found - source.targets[n, cut:length]) ** 2).mean(axis=1)
        total += errors[source.mask[n, cut:length]].sum()
        count += source.mask[n, cut:length].sum()
    assert trainer.history.valid_loss[0] == pytest.approx(total / count, rel=1e-10)
    assert not np.allclose(predicted[0, 23:31], trainer.model.predict(
        source.inputs[:1, 23:31])[0])  # the state matters
    starts, lengths = trainer._updates.rows(trainer.updates_per_epoch)[:2]
    read = np.zeros((4, 40), bool)
    width = trainer._source.mask.shape[1]
    for start, length in zip(starts, lengths, strict=True):
        read[start // width, start % width : start % width + length] = True
    for n in range(4):  # up to the last step that counts before the cut
        last = np.flatnonzero(source.mask[n, : LENGTHS[n] - held[n]])[-1]
        assert read[n, : last + 1].all() and not read[n, last + 1 :].any()


def test_targets_ahead_do_not_reach_into_what_is_held_out():
    """Values behind the first held-out step change no bit of training; the one before does."""
    rng = np.random.default_rng(4)
    series = [rng.normal(size=(length, 2)) for length in (41, 30, 3)]  # 40, 29 and 2 steps
    held = [10, 7, 0]

    def trained(first, column=0, **settings):
        """After a change of the values from step `first` on, counted from the first held-out."""
        changed = [one.copy() for one in series]
        for one, h in zip(changed, held, strict=True):
            if h:
                one[len(one) - 1 - h + first :, column] += 7
        data = Sequences.from_series(changed, horizon=2, columns=settings.pop("columns", None))
        trainer = trainer_of(data, valid_fraction=0.25, scale=True, batch_size=3, **settings)
        trainer.run(updates=9)
        return trainer

    for settings in ({}, {"order": "shuffled"}, {"columns": 1}):
        plain = trained(99, **settings.copy())
        later, at = trained(1, 1, **settings.copy()), trained(0, 1, **settings.copy())
        assert np.array_equal(plain.model.block, later.model.block)
        assert not np.array_equal(plain.model.block, at.model.block)
        assert not np.array_equal(plain._validation.source.targets,
                                  later._validation.source.targets)
    known = ~np.isnan(trained(99)._source.targets)
    assert known[0, :29].all() and known[0, 29].tolist() == [True] * 2 + [False] * 2
    assert known[2, 0].all() and trained(99)._source.lengths.tolist() == [30, 22, 2]
    assert (Sequences.from_series(series, horizon=2).fingerprint()
            != Sequences(*(getattr(Sequences.from_series(series, horizon=2), name) for name in
                           ("inputs", "targets", "mask", "lengths"))).fingerprint())


def test_whole_sequences_are_held_out_at_random():
    trainer = trainer_of(series_of(), valid_fraction=0.25, valid_split="random", batch_size=2)
    assert len(trainer._source) == 3 and len(trainer._validation.source) == 1
    whole = trainer._validation.source
    trainer.run(updates=3)
    trainer._validate(lambda: False)
    assert trainer.history.valid_loss[0] == pytest.approx(trainer.model.score(whole), rel=1e-12)


def test_a_series_of_its_own_as_validation():
    trainer = trainer_of(series_of(), valid=series_of(seed=9))
    trainer.run(updates=5)
    assert trainer.history.valid_loss[0] == pytest.approx(
        trainer.model.score(series_of(seed=9)), rel=1e-12)


def test_shuffled_windows_start_anywhere_from_zero():
    source = series_of()
    trainer = trainer_of(source, order="shuffled", batch_size=3)
    windows = [(row, first) for row in range(4) for first in range(max(LENGTHS[row] - T, 0) + 1)]
    assert trainer.updates_per_epoch == len(windows) // 3
    starts, lengths, _ = trainer._updates.rows(trainer.updates_per_epoch)
    found = {(start // 40, start % 40) for start in starts.tolist()}
    assert len(found) == len(starts) and found <= {*windows}
    assert np.array_equal(lengths, np.minimum(T, LENGTHS[starts // 40]))
    trainer.run(updates=4)
    assert not trainer.state.any()


def test_a_run_is_repeated(tmp_path):
    source, path = series_of(), tmp_path / "run.safetensors"
    model = fastrnn.train(source, seq_length=T, cell="gru", hidden_size=6, batch_size=3, epochs=2,
                          valid_fraction=0.2, checkpoint=path, progress=False)
    again = fastrnn.train(source, repeat=path, progress=False)
    assert np.array_equal(again.block, model.block)
    assert np.array_equal(again.history.loss, model.history.loss)


def test_without_seq_length_all_is_read_whole():
    source = series_of()
    plain = {"optimizer": "adam", "epochs": 3, "batch_size": 2, "progress": False}
    a = classic(source, **plain)
    assert len(a.history) == 6
    b = classic(source, seq_length=40, **plain)
    assert np.array_equal(a.block, b.block)
    assert len(classic(source, seq_length=39, **plain).history) == 6  # 4 windows


def test_chosen_settings():
    """What is not given is chosen, for a series too."""
    t = np.arange(6001)
    x = np.sin(0.2 * t)
    series = Sequences(x[None, :-1, None], x[None, 1:, None])
    model = fastrnn.train(series, seq_length=20, cell="rnn", hidden_size=8, updates=30,
                          progress=False)
    assert len(model.history) == 30 and model.history.valid_loss.size
    assert model.history.updates_per_epoch == 17  # 270 windows in 16 streams


def test_few_long_sequences_are_read_in_windows():
    """Where nothing says how: seq_length is chosen, and the last steps are held out."""
    x = np.sin(0.2 * np.arange(6001))
    quick = {"cell": "rnn", "hidden_size": 8, "updates": 2, "progress": False}
    for data, T in ((x, 64), ([x[:3001], x[3000:]], 64), (x[:601], 30)):
        trained = fastrnn.train(Sequences.from_series(data), **quick)
        assert T - 2 < trained.history.seq_length <= T  # the last one of each may be shorter
        assert trained.history.updates_per_epoch > 8
    windows = Sequences.from_series(x)
    assert fastrnn.train(windows, **quick).history.valid_loss.size
    whole = Sequences.from_series(x[:501])
    few = Sequences(windows.inputs, windows.targets, np.arange(6000)[None] > 5000)
    many = Sequences.from_series([x[i : i + 601] for i in range(20)])
    for data, settings in ((whole, {}), (windows, {"seq_length": 6000}), (few, {}), (many, {})):
        trained = fastrnn.train(data, **quick, **settings)
        assert trained.history.seq_length == data.predictions / len(data)  # whole sequences
    assert classic(windows, **quick).history.seq_length == 6000


def test_bad_windows():
    source = series_of()
    refused(trainer_of, source, [
        ({"batch_size": 20}, "has 19 windows of 5 steps to train on, and batch_size is 20"),
        ({"seq_length": 41}, "are read whole, all 40 steps"),
        ({"valid_fraction": 0.01}, "is 0 of the 38 steps"),
        ({"valid_fraction": 0.99}, "leaves none of the 38 steps|no step"),
        ({"valid_split": "start"}, "valid_split must be"),
    ])
    for reads, horizon in (("numbers", 3), ("symbols", 2)):
        data = series_of(reads, reads)
        with pytest.raises(ValueError, match=f"horizon={horizon} is for targets that are numbers"):
            Sequences(data.inputs.astype(float if reads == "numbers" else int), data.targets.astype(
                float if reads == "numbers" else int), horizon=horizon)
    with pytest.raises(ValueError, match="is one sequence"):
        classic(source[:1], valid_fraction=0.2, progress=False)
    records = fastrnn.Corpus.from_records(["anna", "bram", "carla"])
    with pytest.raises(ValueError, match="are read whole"):
        classic(records, seq_length=3, progress=False)


def test_what_a_window_does_not_show_is_remembered():
    """Every 20 steps there is a pulse, whose sign lasts for 2,000 steps. A window of 25 that starts
    from zero cannot know the sign of its first pulse; the state that is carried does."""
    n, T = 20_000, 25
    t = np.arange(n + 1)
    pulses = np.where(t % 20 == 19, np.where(t // 2000 % 2, 1.0, -1.0), 0.0)
    x = np.stack([pulses, np.sin(0.1 * np.pi * t), np.cos(0.1 * np.pi * t)], axis=1)[:-1]
    series = Sequences(x[None], pulses[None, 1:, None])
    windows = Sequences(x.reshape(-1, T, 3), pulses[1:].reshape(-1, T, 1))
    how = {"cell": "lstm", "hidden_size": 64, "batch_size": 4, "epochs": 3, "optimizer": "adam",
           "learning_rate": 0.01, "schedule": "constant", "warmup": 0, "clip_norm": 1.0,
           "dropout": 0.0, "valid_fraction": 0.0, "progress": False, "seed": 0}
    carried = fastrnn.train(series, seq_length=T, **how)
    zero = fastrnn.train(windows, **how)
    assert len(carried.history) == len(zero.history) == 600
    assert carried.score(series) < 0.1 * zero.score(windows)

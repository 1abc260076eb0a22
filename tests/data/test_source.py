"""A fourth kind of source, written here alone, is learned, validated, resumed and scored: nothing
else in the package asks which kind it has."""
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pytest
from runs import classic

import fastrnn
from fastrnn.data.source import Batch, Reading, Source, held_out_count


class Windows(Source):
    """Windows of T steps of one long series, at every offset; each step's target is the next."""

    kind = "windows"

    def __init__(self, series, T, name="load curve"):
        self.series, self.steps, self.name = np.asarray(series, float), T, name

    @property
    def sizes(self):
        return fastrnn.Sizes(input_size=self.series.shape[1], output_size=self.series.shape[1])

    def __len__(self):
        return len(self.series) - self.steps

    @property
    def predictions(self):
        return len(self) * self.steps

    def fingerprint(self):
        return hashlib.sha256(self.series.tobytes() + bytes(self.steps)).hexdigest()

    def hold_out(self, valid_fraction, seed):
        cut = len(self.series) - self.steps - held_out_count(
            len(self), valid_fraction, 1, f"windows of {self.name}")
        return (Windows(self.series[:cut], self.steps, self.name),
                Windows(self.series[cut:], self.steps, self.name))

    def reading(self, config, labels, dtype):
        N, n, T = config["batch_size"], len(self), self.steps
        updates = n // N

        def order(rng):
            starts = rng.permutation(n)[: updates * N]
            return starts, np.full(len(starts), T), None

        series = self.series.astype(dtype)
        return Reading({"x": series[:-1].copy(), "targets": series[1:].copy()}, updates, float(T),
                       order)

    def batches(self, dtype, *, streams=1, steps=256):
        windows = np.lib.stride_tricks.sliding_window_view(self.series, self.steps + 1, axis=0)
        windows = np.ascontiguousarray(np.swapaxes(windows, 1, 2), dtype)[: len(self)]
        for start in range(0, len(windows), 50):
            part = windows[start : start + 50]
            yield Batch(self.steps, {"inputs": np.ascontiguousarray(part[:, :-1]),
                                     "targets": np.ascontiguousarray(part[:, 1:])},
                        np.arange(start, start + len(part)))


SETTINGS = {"cell": "lstm", "hidden_size": 12, "batch_size": 16, "optimizer": "adam",
            "learning_rate": 1e-2, "dtype": "float64", "valid_fraction": 0.2, "progress": False}


@pytest.fixture
def windows():
    t = np.arange(300)
    return Windows(np.stack([np.sin(t / 7), np.cos(t / 11)], axis=1), T=9)


def by_hand(model, windows):
    """The squared error of all windows, one sequence each."""
    x = np.stack([windows.series[i : i + windows.steps] for i in range(len(windows))])
    y = np.stack([windows.series[i + 1 : i + 1 + windows.steps] for i in range(len(windows))])
    return float(np.mean((model.predict(x) - y) ** 2))


def test_it_trains_and_validates(windows):
    model = classic(windows, **SETTINGS, epochs=20)
    history = model.history
    assert history.valid_loss.size == 20
    train, held_out = windows.hold_out(0.2, 0)
    assert history.loss.size == 20 * (len(train) // 16)
    best = by_hand(model, held_out)
    assert history.valid_loss.min() == pytest.approx(best, rel=1e-12)
    assert best < held_out.series.var() / 10


def test_updates_are_those_of_a_loop_by_hand(windows):
    trainer = fastrnn.Trainer(
        fastrnn.Model(windows.sizes, cell="gru", hidden_size=7, dtype="float64", seed=3), windows,
        batch_size=5, optimizer="sgd", learning_rate=0.05, clip_value=None, progress=False, seed=4)
    twin = trainer.model.copy()
    starts, _, _ = trainer._reading.order(np.random.default_rng((trainer._updates.order_seed, 0)))
    trainer.run(updates=3)
    for update in range(3):
        rows = starts[5 * update : 5 * update + 5]
        x = np.stack([windows.series[i : i + 9] for i in rows])
        y = np.stack([windows.series[i + 1 : i + 10] for i in rows])
        loss, grads, _ = twin.loss_and_gradients(x, y)
        assert trainer.history.loss[update] == pytest.approx(loss, rel=1e-12)
        for name, g in grads.items():
            twin.params[name] -= 0.05 * g
    np.testing.assert_allclose(trainer.model.block, twin.block, rtol=0, atol=1e-12)


def test_it_resumes(windows, tmp_path):
    path = tmp_path / "m.safetensors"
    whole = classic(windows, **SETTINGS, updates=30)
    classic(windows, **SETTINGS, updates=13, checkpoint=path)
    resumed = classic(windows, updates=30, resume=path, progress=False)
    assert np.array_equal(resumed.history.loss, whole.history.loss)
    assert resumed.block.tobytes() == whole.block.tobytes()
    other = Windows(windows.series + 1, 9)
    with pytest.raises(ValueError, match="not the same windows"):
        classic(other, updates=30, resume=path, progress=False)


def test_it_is_scored_and_refused(windows):
    model = fastrnn.Model(windows.sizes, hidden_size=6, dtype="float64", init_scale=0.5)
    assert model.score(windows) == pytest.approx(by_hand(model, windows), rel=1e-12)
    with pytest.raises(ValueError, match="accuracy is for targets that are symbols"):
        model.accuracy(windows)
    narrow = Windows(windows.series[:, :1], 9)
    with pytest.raises(ValueError, match="load curve have 1 number in.*this model has 2 numbers"):
        model.score(narrow)
    with pytest.raises(ValueError, match="load curve are read whole, all 9 steps"):
        fastrnn.Trainer(model, windows, seq_length=7)
    with pytest.raises(ValueError, match="0 of the 291 windows of load curve"):
        fastrnn.Trainer(model, windows, valid_fraction=0.001)
    with pytest.raises(ValueError, match="labels and balance are for records"):
        fastrnn.Trainer(model, windows, balance="labels")


def test_no_other_file_asks_which_source_it_has():
    package = Path(fastrnn.__file__).parent
    found = subprocess.run(
        ["grep", "-rnE", r"isinstance\([^)]*(Corpus|Sequences)\b|\.records is", "--include=*.py",
         str(package)], capture_output=True, text=True).stdout
    # gradient_norms takes ids of a text as well; reports have figures of numbers of their own
    known = ("/data/", "gradient_norms.py", "insight/figures.py", "pages/quality.py")
    outside = [line for line in found.splitlines() if not any(name in line for name in known)]
    assert not outside, outside

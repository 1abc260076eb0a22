"""Figures: each number that is drawn is read back from the axes and compared with the arrays."""

import subprocess
import sys

import numpy as np
import pytest

import fastrnn
from fastrnn import plot
from fastrnn.insight.activations import activations
from fastrnn.insight.gates import saturation

mpl = pytest.importorskip("matplotlib")
mpl.use("agg")

rng = np.random.default_rng(5)
TEXT = "ab ba\tcab\nabc bca " * 12
HISTORY = {"measure": ("nats", "symbol"), "seq_length": 5.0, "updates_per_epoch": 40}


def history_of(updates, validations=(), **settings):
    loss = 5 * (1 + 3 / np.arange(1, updates + 1) ** 0.3) + rng.normal(0, 0.3, updates)
    smooth = np.linspace(20, 8, updates)
    return fastrnn.History(loss, smooth, rng.uniform(1, 2, len(validations)), validations,
                           learning_rate=np.ones(updates), **HISTORY | settings)


def model_of(cell, text=TEXT, **settings):
    model = fastrnn.Model(fastrnn.Corpus.from_text(text).vocabulary, cell=cell, hidden_size=7,
                          **{"num_layers": 2, "seed": 1} | settings)
    model.block[:] = rng.normal(0, 1.5, model.block.size)
    return model


def lines_of(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def names_in(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


# ---- losses ----

def test_losses_of_one_run():
    history = history_of(100, [20, 60, 100], samples=[(10, "a"), (90, "b")])
    axes = plot.loss(history)
    raw, mean, valid = axes.lines
    updates = np.arange(1, 101)
    np.testing.assert_array_equal(raw.get_xydata(), np.stack([updates, history.loss / 5], 1))
    means = [history.loss[max(0, n - 30) : n].mean() / 5 for n in updates]
    np.testing.assert_allclose(mean.get_xydata(), np.stack([updates, means], 1))
    np.testing.assert_array_equal(valid.get_xdata(), [20, 60, 100])
    np.testing.assert_array_equal(valid.get_ydata(), history.valid_loss)
    (marks,) = axes.collections
    assert [segment[0, 0] for segment in marks.get_segments()] == [10, 90]
    assert axes.get_xlabel() == "update (short lines: 2 samples)"
    assert axes.get_ylabel() == "loss (nats per symbol)"
    best = history.valid_loss.argmin()
    assert names_in(axes) == [
        "training, each update", "training, mean of the last 1 % of the updates, at least 30",
        f"validation (lowest {history.valid_loss[best]:.4g} after {20 + 40 * best} updates)"]
    (top,) = axes.child_axes
    axes.figure.draw_without_rendering()
    assert top.get_xlabel() == "epoch"
    np.testing.assert_allclose(top.get_xlim(), np.array(axes.get_xlim()) / 40)


def test_a_long_run_keeps_its_extremes_and_its_end():
    history = history_of(23_456)
    raw, mean = plot.loss(history).lines
    x, y = raw.get_data()
    assert len(x) < 4100 and (y.min(), y.max()) == (history.loss.min() / 5, history.loss.max() / 5)
    np.testing.assert_array_equal(y, history.loss[np.asarray(x, int) - 1] / 5)
    kept = np.asarray(mean.get_xdata(), int)
    assert len(kept) < 6000 and kept[0] == 1 and kept[-1] == 23_456
    np.testing.assert_array_equal(mean.get_ydata(), history.train_loss[kept - 1])
    n = 20_001  # over the last 200 updates
    np.testing.assert_allclose(history.train_loss[n - 1], history.loss[n - 200 : n].mean() / 5)


def test_a_few_high_losses_do_not_hide_the_others():
    history = history_of(3000)
    loss = history.loss.copy()
    loss[[500, 501]] = 1e6  # fewer than one of a thousand
    spiky = fastrnn.History(loss, history.smooth_loss, learning_rate=loss,
                            **HISTORY | {"one_stream": True})
    axes = plot.loss(spiky)
    assert axes.get_ylim()[1] < 50 and axes.lines[0].get_ydata().max() == 1e6


def test_a_text_read_as_one_stream_has_its_smoothed_loss():
    history = history_of(80, one_stream=True)
    raw, smooth = plot.loss(history).lines
    np.testing.assert_array_equal(raw.get_ydata(), history.loss)
    np.testing.assert_array_equal(smooth.get_ydata(), history.smooth_loss)
    assert "per window of 5 symbols" in smooth.axes.get_ylabel()
    # beside a run in batches all are of one symbol
    axes = plot.loss([history, history_of(50)])
    assert axes.get_ylabel() == "loss (nats per symbol)"
    np.testing.assert_array_equal(lines_of(axes)["run 1: training"][:, 1], history.train_loss)


def test_several_runs(tmp_path):
    model = fastrnn.train(fastrnn.Corpus.from_text(TEXT * 4), preset="classic", hidden_size=5,
                          batch_size=2, updates=60, valid_fraction=0.2, valid_every=20,
                          progress=False, checkpoint=tmp_path / "one.safetensors")
    other = history_of(90, [90], updates_per_epoch=30)
    runs = {"mine_$x$": tmp_path / "one.safetensors", "_other": other}
    axes = plot.loss(runs, x="epochs")
    lines = lines_of(axes)
    each = model.history.updates_per_epoch
    np.testing.assert_allclose(lines["mine_$x$: training"], np.stack(
        [np.arange(1, 61) / each, model.history.train_loss], 1))
    np.testing.assert_allclose(lines[" _other: training"][-1], [3, other.loss[-30:].mean() / 5])
    valid = next(line for name, line in lines.items() if name.startswith("mine_$x$: valid"))
    np.testing.assert_allclose(valid[:, 0], model.history.valid_updates / each)
    assert len(names_in(axes)) == 4 and axes.get_xlabel() == "epoch"
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axes.lines}
    assert len(styles) == len(axes.lines) == 6
    axes.figure.draw_without_rendering()  # a name with $ is no formula, one with _ is not left out
    paths = [tmp_path / "one.safetensors"] * 2
    assert {name.split(":")[0] for name in names_in(plot.loss(paths))} == {"1", "2"}
    assert len(plot.loss([model, model, model, model]).lines) == 8  # pale ones of three at most


def test_accuracies_have_their_own_scale():
    history = history_of(80, accuracy=[0.2, 0.6])
    axes = plot.loss(history)
    (right,) = [each for each in axes.figure.axes if each is not axes]
    assert right.lines[0].get_xydata().tolist() == [[40, 0.2], [80, 0.6]]
    assert names_in(axes)[-1] == "accuracy on the training data"
    (right,) = [each for each in plot.loss(history, x="epochs").figure.axes if each.lines][1:]
    assert right.lines[0].get_xydata().tolist() == [[1, 0.2], [2, 0.6]]


def test_losses_that_cannot_be_drawn(tmp_path):
    with pytest.raises(ValueError, match="no losses to plot yet"):
        plot.loss(model_of("rnn"))
    model_of("rnn").save(tmp_path / "new.safetensors")
    with pytest.raises(ValueError, match="new: there are no losses to plot yet: train the model"):
        plot.loss(tmp_path / "new.safetensors", path=tmp_path / "no.png")
    with pytest.raises(ValueError, match="different units"):
        plot.loss([history_of(5), history_of(5, measure=("squared error", "step"))])
    with pytest.raises(ValueError, match="does not say how many updates an epoch has"):
        plot.loss(history_of(5, updates_per_epoch=None), x="epochs")
    with pytest.raises(ValueError, match="x must be 'updates' or 'epochs', not 'hours'"):
        plot.loss(history_of(5), x="hours")
    with pytest.raises(ValueError, match="at least one run"):
        plot.loss([])
    for wrong in (3, [3], fastrnn.EchoStateNetwork(5)):
        with pytest.raises(TypeError, match="loss draws a Model, a History"):
            plot.loss(wrong)
    with pytest.raises(OSError, match="no file"):
        plot.loss(tmp_path / "none.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["new.safetensors"]


def test_a_diverged_run_is_drawn():
    loss = np.array([3.0, 4.0, np.nan, np.inf, 5.0])
    axes = plot.loss(fastrnn.History(loss, loss, learning_rate=loss, **HISTORY))
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 5]
    axes.figure.draw_without_rendering()


# ---- gates ----

@pytest.mark.parametrize(("cell", "names"), [("lstm", "ifo"), ("gru", "rz"), ("mgu", "f"),
                                            ("mlstm", "ifo")])
def test_saturated_gates_are_counted(cell, names):
    model = model_of(cell)
    found = saturation(model, TEXT)
    assert "".join(found) == names
    layers = activations(model, TEXT).layers
    for name in names:
        for layer, (shut, opened) in zip(layers, found[name], strict=True):
            for unit in range(7):
                values = layer[name][:, unit].tolist()
                assert shut[unit] == sum(value < 0.1 for value in values) / len(values)
                assert opened[unit] == sum(value > 0.9 for value in values) / len(values)
    assert 0 < np.mean(found[names[0]]) < 0.5
    places = plot.gates(model, TEXT)
    for axes, name in zip(places, names, strict=True):
        assert f"gate {name}" in axes.get_title()
        assert axes.get_xlabel().startswith("above 0.9") and axes.get_aspect() == 1
        _, *marks = axes.lines
        for mark, (shut, opened) in zip(marks, found[name], strict=True):
            np.testing.assert_array_equal(mark.get_xydata(), np.stack([opened, shut], 1))
        low, high = found[name][1]
        assert names_in(axes)[1] == (f"layer 1: {low.mean():.0%} below 0.1, {high.mean():.0%} "
                                     "above 0.9")


def test_gates_over_the_updates(tmp_path):
    models = {200: model_of("lstm"), 5: model_of("lstm")}
    models[200].save(tmp_path / "late.safetensors")
    places = plot.gates(models | {200: tmp_path / "late.safetensors"}, TEXT)
    for axes, name in zip(places, "ifo", strict=True):
        for layer in range(2):
            for which, said in enumerate(("below 0.1", "above 0.9")):
                expected = [[at, saturation(models[at], TEXT)[name][layer][which].mean()]
                            for at in (5, 200)]
                line = lines_of(axes)[f"layer {layer}: {said}"]
                np.testing.assert_allclose(line, expected)


def test_a_long_text_is_read_in_part(monkeypatch):
    monkeypatch.setattr(plot, "MOST_READ", 20)
    model = model_of("gru")
    corpus = fastrnn.Corpus.from_text(TEXT)
    expected = saturation(model, TEXT[:20])["r"][0][0]
    for text in (TEXT, corpus):
        np.testing.assert_array_equal(plot.gates(model, text)[0].lines[1].get_ydata(), expected)


def test_gates_that_are_not_there():
    with pytest.raises(ValueError, match="the cell 'rnn' has no gates"):
        plot.gates(model_of("rnn"), TEXT)
    with pytest.raises(ValueError, match="'z'"):
        plot.gates(model_of("lstm"), "abz")
    with pytest.raises(ValueError, match="empty"):
        plot.gates(model_of("lstm"), "")
    with pytest.raises(ValueError, match="by their updates"):
        plot.gates({"a": model_of("lstm")}, TEXT)
    with pytest.raises(ValueError, match="different cells"):
        plot.gates({1: model_of("lstm"), 2: model_of("gru")}, TEXT)
    with pytest.raises(TypeError, match="give a Model or the path"):
        plot.gates(3, TEXT)


# ---- activations ----

def test_a_map_of_the_units_that_vary_most():
    model = model_of("lstm")
    axes = plot.activations(model, TEXT[:12], layer=0, value="c")
    values = activations(model, TEXT[:12]).layers[0]["c"]
    order = np.argsort(-values.std(axis=0))
    np.testing.assert_array_equal(axes.images[0].get_array(), values[:, order].T)
    assert [label.get_text() for label in axes.get_yticklabels()] == [*map(str, order)]
    shown = "".join(label.get_text() for label in axes.get_xticklabels())
    assert shown == "ab␣ba⇥cab↵ab"
    bar = axes.figure.axes[-1]
    assert bar.get_ylabel() == "cell state c of layer 0"
    low, high = axes.images[0].get_clim()
    assert -low == high == abs(values).max()


def test_few_units_are_curves():
    model = model_of("gru")
    axes = plot.activations(model, TEXT[:9], [6, 2])
    values = activations(model, TEXT[:9]).layers[1]["h"]
    assert list(lines_of(axes)) == ["unit 6", "unit 2"] == names_in(axes)
    for line, unit in zip(axes.lines, (6, 2), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(9))
        np.testing.assert_array_equal(line.get_ydata(), values[:, unit])
    assert axes.get_ylabel() == "output h of layer 1" and axes.get_xlabel() == "char that is read"


def test_a_screenful_at_most():
    axes = plot.activations(model_of("rnn"), TEXT)
    assert axes.images[0].get_array().shape == (7, 80)
    assert axes.get_xlabel() == f"char that is read (the first 80 of {len(TEXT)} chars)"


def test_words_bytes_and_records():
    words = fastrnn.Corpus.from_text("to be $x$ or not to be", unit="word")
    model = fastrnn.Model(words.vocabulary, cell="rnn", hidden_size=3)
    axes = plot.activations(model, "to be $x$")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["to", "be", "$x$"]
    axes.figure.draw_without_rendering()
    octets = fastrnn.Corpus.from_text("aé\x1b", unit="byte")
    axes = plot.activations(fastrnn.Model(octets.vocabulary, cell="rnn", hidden_size=3), "aé\x1b")
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown == ["a", r"\xc3", r"\xa9", r"\x1b"]
    names = fastrnn.Corpus.from_records(["anna", "bob"], labels=["x", "y"])
    model = fastrnn.Model(names.vocabulary, cell="lstm", hidden_size=5, labels=["x", "y"])
    axes = plot.activations(model, "anna", label="y")
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert len(shown) == 5 and shown[1:] == [*"anna"]


@pytest.mark.parametrize(("given", "message"), [
    ({"units": [0, 7]}, "unit 7 does not exist: the layer has the units 0 to 6"),
    ({"units": [-1]}, "unit -1 does not exist"), ({"layer": 2}, "the layers 0 to 1"),
    ({"value": "q"}, "value must be one of h, c, i, f, o, g, not 'q'"),
    ({"text": "abz"}, "'z'"), ({"text": ""}, "empty"),
    ({"units": [0.5]}, "must be a list of numbers"), ({"units": []}, "must be a list of numbers"),
    ({"model": 3}, "give a Model"), ({"path": "a.xyz"}, "'a.xyz': the name of a plot ends in one"),
    ({"path": "a"}, "'a': the name of a plot ends in one of .*png")])
def test_activations_that_cannot_be_drawn(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        plot.activations(**{"model": model_of("lstm"), "text": TEXT[:9]} | given)
    assert not list(tmp_path.iterdir())


def test_a_model_of_sequences_reads_no_text():
    numbers = fastrnn.Model(fastrnn.Sizes(input_size=2, output_size=1), cell="lstm", hidden_size=3)
    for draw in (plot.gates, plot.activations):
        with pytest.raises(ValueError, match="sequences"):
            draw(numbers, "ab")


# ---- gradients and forecasts ----

def test_gradients_of_several_models(tmp_path):
    found = {cell: fastrnn.gradient_norms(model_of(cell), TEXT, seq_length=12)
             for cell in ("rnn", "lstm")}
    left, right = plot.gradients(found, path=tmp_path / "g.svg")
    assert names_in(right) == ["rnn", "lstm"]
    for cell, norms in found.items():
        np.testing.assert_array_equal(lines_of(left)[cell], np.stack([norms.lags, norms.norms], 1))
        np.testing.assert_array_equal(lines_of(right)[cell],
                                      np.stack([norms.lengths, norms.mean_absolute], 1))
    assert b"<svg" in (tmp_path / "g.svg").read_bytes()
    assert left.get_yscale() == "log" and "norm" in left.get_ylabel()
    with pytest.raises(TypeError, match="what fastrnn.gradient_norms returns, not int"):
        plot.gradients(3)
    with pytest.raises(ValueError, match="at least one"):
        plot.gradients({})


def test_a_series_its_forecasts_and_their_intervals():
    series, one, two = rng.normal(size=(20, 1)), rng.normal(size=(6, 1)), rng.normal(size=4)
    times = np.datetime64("2024-03-01") + np.arange(23)
    axes = plot.forecast(series, {"one": one, "two": two}, {"two": (two - 1, two + 2)}, start=17,
                         times=times, level=0.8, unit="load in MW", step="day", name="load")
    drawn = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(drawn["load"].get_ydata(), series[:, 0])
    np.testing.assert_array_equal(drawn["load"].get_xdata(orig=True), times[:20])
    np.testing.assert_array_equal(drawn["one"].get_ydata(), one[:, 0])
    np.testing.assert_array_equal(drawn["one"].get_xdata(orig=True), times[17:])
    np.testing.assert_array_equal(drawn["two"].get_xdata(orig=True), times[17:21])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert set(heights) == {*(two - 1), *(two + 2)}
    assert names_in(axes) == ["load", "one", "80% interval, two", "two"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("day", "load in MW")
    axes.figure.draw_without_rendering()


def test_a_forecast_goes_on_where_the_series_ends():
    axes = plot.forecast([1, 2, np.nan, 4], [5, 6], ([4, 5], [6, 7]))
    assert lines_of(axes)["forecast"].tolist() == [[4, 5], [5, 6]]
    assert names_in(axes) == ["series", "interval", "forecast"]


@pytest.mark.parametrize(("given", "message"), [
    ({"series": np.ones((4, 2))}, r"series must have the shape \(T,\) or \(T, 1\).* one column"),
    ({"forecasts": []}, "forecasts must have the shape"),
    ({"times": range(5)}, "times must have at least 6 entries"),
    ({"intervals": {"other": ([1, 2], [3, 4])}}, "there is no forecast 'other'"),
    ({"intervals": ([1], [2])}, "must be a lower and an upper end"),
    ({"forecasts": {"a": [1], "b": [2]}, "intervals": ([1], [2])}, "by their names"),
    ({"start": 9}, "start must be"), ({"forecasts": {}}, "at least one forecast")])
def test_forecasts_that_cannot_be_drawn(given, message):
    with pytest.raises(ValueError, match=message):
        plot.forecast(**{"series": [1, 2, 3, 4], "forecasts": [5, 6]} | given)


# ---- files, and what is not there ----

@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_written_in_one_step(kind, tmp_path):
    from fastrnn.figures.axes import drawn_here
    path = tmp_path / f"loss.{kind}"
    plot.loss(history_of(30), path=path)
    assert drawn_here(path) and [each.name for each in tmp_path.iterdir()] == [path.name]
    before = path.read_bytes()
    with pytest.raises(ValueError):
        plot.loss(history_of(0), path=path)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="directory"):
        plot.loss(history_of(30), path=tmp_path / "none" / f"a.{kind}")


def test_axes_are_given_and_returned():
    from matplotlib.figure import Figure
    figure = Figure()
    one, *three = figure.subplots(1, 4)
    assert plot.loss(history_of(9), ax=one) is one
    assert plot.gates(model_of("lstm"), TEXT, ax=three) == three
    assert plot.gradients(fastrnn.gradient_norms(model_of("rnn"), TEXT), ax=three[:2]) == three[:2]
    assert plot.activations(model_of("rnn"), TEXT, ax=one) is one
    assert plot.forecast([1, 2], [3], ax=one) is one
    with pytest.raises(TypeError, match="ax must be 3 matplotlib Axes"):
        plot.gates(model_of("lstm"), TEXT, ax=one)


def test_matplotlib_is_imported_only_to_draw():
    code = ("import sys, fastrnn\nassert 'matplotlib' not in sys.modules\n"
            "sys.modules['matplotlib'] = None\n"
            "for draw in (lambda: fastrnn.plot.loss(fastrnn.History([1.0], [1.0], "
            "learning_rate=[1.0])), lambda: fastrnn.plot.forecast([1], [2])):\n"
            "    try:\n        draw()\n"
            "    except ImportError as error:\n        print(error)\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 2 * 'plots need matplotlib: pip install "fastrnn[plot]"\n'

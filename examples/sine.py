"""Sine curves continued: an LSTM and a tanh RNN with equally many parameters.

    python examples/sine.py                         # about a minute for each
    python examples/sine.py --minutes 0.2
    python examples/sine.py --epochs 20 --seed 1    # reproducible

An exercise of RWTH Aachen: 10,000 curves of 100 samples, sin(0.15 t / d + p) with d from 1 to 2 and
a random phase p. Both networks learn to predict the next sample; then they are given the first 30
samples of fresh curves and go on for 70 more, each prediction being the next input. Prints the mean
squared error of those 70, plots it, with some curves, to sine.png, and saves both models. The norm
of the gradient is clipped to 5. The picture needs pip install "fastrnn[plot]".
"""

import argparse
import time

import common
import numpy as np

import fastrnn

SAMPLES, GIVEN = 100, 30
FRESH = 1000  # curves, of another seed


def main() -> None:
    parser = common.parser(
        "Sine curves continued by an LSTM and an RNN.", curves=10_000,
        hidden_size=(64, "units of the LSTM"), learning_rate=5e-3, batch_size=100,
        clip_norm=(5.0, "largest norm of the gradient"), threads=None)
    common.add_length(parser, 1.0, "for each")
    common.run(compare, parser, picture="sine.png")


def compare(options: argparse.Namespace) -> None:
    curves = fastrnn.tasks.sine(options.curves, SAMPLES - 1, seed=1)
    fresh = fastrnn.tasks.sine(FRESH, SAMPLES - 1, seed=2)
    lstm = learn(curves, "lstm", options.hidden_size, options)
    H = fastrnn.hidden_size_for("rnn", fastrnn.parameter_count(lstm), curves.sizes)
    models = {"LSTM": lstm, "RNN": learn(curves, "rnn", H, options)}
    truth = fresh.targets[:, GIVEN - 1 :]  # (FRESH, 70, 1)
    continued = {}
    for name, model in models.items():
        continued[name] = model.extrapolate(fresh.inputs[:, :GIVEN], SAMPLES - GIVEN)
        errors = (continued[name] - truth) ** 2
        print(f"{name} with {model.config['hidden_size']} units, "
              f"{fastrnn.parameter_count(model):,} parameters: next sample "
              f"{model.score(fresh):.2e}, the {SAMPLES - GIVEN} continued ones {errors.mean():.2e} "
              f"(mean squared error, {FRESH:,} fresh curves); of the median curve "
              f"{np.median(errors.mean(axis=(1, 2))):.2e}")
        common.save_model(model, options, name.lower())
    draw(fresh, continued, truth, options.picture)


def learn(curves, cell, hidden_size, options) -> fastrnn.Model:
    start = time.perf_counter()
    model = fastrnn.train(
        curves, preset="sine", cell=cell, hidden_size=hidden_size, batch_size=options.batch_size,
        learning_rate=options.learning_rate, clip_norm=options.clip_norm, seed=options.seed,
        threads=options.threads, **common.length_of(options))
    print(f"{cell}: {len(model.history):,} updates in {time.perf_counter() - start:.1f} s")
    return model


def draw(fresh, continued, truth, picture) -> None:
    figure = common.figure(11, 7)
    places = figure.subplots(3, 2)
    t = np.arange(GIVEN, SAMPLES)
    for row, axes in enumerate(places.flat[:4]):
        axes.plot(np.arange(GIVEN), fresh.inputs[row, :GIVEN, 0], color="black", label="given")
        axes.plot(t, truth[row, :, 0], color="gray", linestyle=":", label="the curve")
        for name, values in continued.items():
            axes.plot(t, values[row, :, 0], label=name)
        axes.set(xlabel="sample", ylabel="value of the curve", ylim=(-1.5, 1.5))
    places[0, 0].legend(ncols=4, fontsize="small")
    errors = figure.add_subplot(places[2, 0].get_gridspec()[2, :])
    for axes in places[2]:
        axes.remove()
    for name, values in continued.items():
        errors.semilogy(t, ((values - truth) ** 2).mean(axis=(0, 2)), label=name)
    errors.set(xlabel="sample", ylabel="mean squared error")
    errors.grid(alpha=0.3)
    errors.legend()
    figure.suptitle(f"{GIVEN} samples given, {SAMPLES - GIVEN} continued")
    common.save(figure, picture)


if __name__ == "__main__":
    main()

"""Exploding and vanishing gradients: how large gradients are for sequences of up to 1,000 steps.

    python examples/exploding_gradients.py
    python examples/exploding_gradients.py --length 300 --clip-norm 1

An exercise of RWTH Aachen after Pascanu, Mikolov and Bengio (2013). Untrained networks read the
adding task, whose only target comes at the last step. For each initialization of Wh it takes the
mean absolute gradient of all parameters for longer and longer sequences, as it is and with its norm
clipped, and for the longest sequence the gradient with respect to the hidden state at each lag.
Prints a table and plots exploding_gradients.png. The picture needs pip install "fastrnn[plot]".
"""

import argparse

import common
import numpy as np

import fastrnn

SEQUENCES = 20
# name -> cell, Wh: the identity or random numbers N(0, 1 / H), times a factor; forget bias
STARTS = {
    "ReLU RNN, 1.03 I": ("relu", "identity", 1.03, 0.0),
    "ReLU RNN, I": ("relu", "identity", 1.0, 0.0),
    "ReLU RNN, 0.97 I": ("relu", "identity", 0.97, 0.0),
    "ReLU RNN, random": ("relu", "normal", 1.6, 0.0),
    "tanh RNN, random": ("rnn", "normal", 0.8, 0.0),
    "LSTM, forget bias 1": ("lstm", "normal", 1.0, 1.0),
    "LSTM, forget bias 5": ("lstm", "normal", 1.0, 5.0),
}


def main() -> None:
    parser = common.parser(
        "Exploding and vanishing gradients.", length=(1000, "steps of the longest sequence"),
        hidden_size=50, clip_norm=5.0)
    common.run(measure, parser, picture="exploding_gradients.png")


def measure(options: argparse.Namespace) -> None:
    longest = fastrnn.tasks.adding(SEQUENCES, options.length)
    lengths = np.unique(np.geomspace(2, options.length, 25).round().astype(int))
    shown = [length for length in (10, 100, 1000) if length <= options.length]
    print("mean absolute gradient by sequence length, and clipped to the norm "
          f"{options.clip_norm:g}\n{'':24}" + "".join(f"{n:>21} " for n in shown))
    found = {}
    for name, how in STARTS.items():
        model = start(longest.sizes, *how, options)
        norms = fastrnn.gradient_norms(model, longest, lengths)
        clipped = [clipped_gradient(model, int(length), options) for length in lengths]
        found[name] = norms, clipped
        columns = [(mean_absolute(gradient(model, n)), clipped_gradient(model, n, options))
                   for n in shown]
        print(f"{name:24}" + "".join(f"{full:10.1e}, {cut:9.1e} " for full, cut in columns))
    draw(found, options)


def start(sizes, cell, init, factor, forget_bias, options) -> fastrnn.Model:
    """An untrained network in float64, whose range is wide enough for exploding gradients."""
    model = fastrnn.Model(
        sizes, cell=cell, hidden_size=options.hidden_size, dtype="float64", init=init,
        init_scale=options.hidden_size**-0.5, forget_bias=forget_bias)
    model.params["layer0.Wh"][:] *= factor
    return model


def gradient(model, length) -> dict[str, np.ndarray]:
    task = fastrnn.tasks.adding(SEQUENCES, length)
    return model.loss_and_gradients(task.inputs, task.targets, mask=task.mask)[1]


def clipped_gradient(model, length, options) -> float:
    grads = gradient(model, length)
    fastrnn.optim.clip_norm_(grads, options.clip_norm)
    return mean_absolute(grads)


def mean_absolute(grads) -> float:
    return float(np.mean(np.abs(np.concatenate([g.ravel() for g in grads.values()]))))


def draw(found, options) -> None:
    figure = common.figure(12, 4.8)
    left, right = figure.subplots(1, 2)
    for name, (norms, clipped) in found.items():
        (line,) = left.loglog(norms.lengths, norms.mean_absolute, label=name)
        left.loglog(norms.lengths, clipped, color=line.get_color(), linestyle=":")
        right.semilogy(norms.lags, norms.norms, color=line.get_color())
    left.set(xlabel="sequence length", ylabel="mean absolute gradient of a parameter",
             title=f"dotted: norm clipped to {options.clip_norm:g}")
    right.set(xlabel="lag (steps before the last)", ylabel="norm of the gradient, hidden state",
              title=f"{options.length} steps")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.set_ylim(1e-20, 1e30)
    left.legend(fontsize="small")
    common.save(figure, options.picture)


if __name__ == "__main__":
    main()

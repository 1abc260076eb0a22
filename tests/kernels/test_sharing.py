"""Threads that share the work of each slice: the same bits however it is cut, and the reference's
gradients. `cut_for` cuts work that is too small to be shared otherwise."""
import numpy as np
import pytest
from networks import (
    ALL_KINDS,
    DTYPES,
    TRAINED_KINDS,
    Run,
    cell_of,
    generators_of,
    network_of,
    random_model,
    random_window,
    unroll,
)

import fastrnn
from fastrnn import kernels, nn
from fastrnn.data.source import Sizes
from fastrnn.kernels.blas import one_thread

CUTS = [(2, 2), (3, 3), (5, 5), (16, 16), (5, 2)]  # threads that work is cut for, threads
SHAPES = [(1, 4), (3, 7), (7, 3), (8, 5), (13, 7), (50, 4)]  # N, T


def shared(network, cut_for):
    """The network, which must share its slices from now on."""
    network.cut_for = cut_for
    assert network.useful_threads(64) > len(network.slices)
    return network


def assert_same(run):
    """run(cut_for, threads) gives the same bits whatever these are; 0: one thread a slice."""
    alone = run(0, 1)
    assert len(alone) > 0
    for cut_for, threads in CUTS:
        found = run(cut_for, threads)
        for i, (a, b) in enumerate(zip(found, alone, strict=True)):
            assert a == b, (cut_for, threads, i)


def assert_same_unrolls(kind, dtype, N, T):
    """H of partial panels, of several, and so large that gradients of few rows are tiled too."""
    for H, settings in ((40, {}), (150, {"num_layers": 2, "dropout": 0.3, "embedding_size": 9}),
                        (270, {"num_layers": 1})):
        model = random_model(kind, dtype, 21, H, **settings)
        window = random_window(model, T, N)

        def run(cut_for, threads, model=model, window=window):
            network = network_of(model, T, N)
            if cut_for > len(network.slices):
                shared(network, cut_for)
            generators = generators_of(model, network)
            losses, grads, last = unroll(model, network, *window, generators, threads)
            return [losses.tobytes(), last.tobytes(), *(g.tobytes() for g in grads.values()),
                    *(g.bit_generator.state for g in generators or ())]

        assert_same(run)


@pytest.mark.parametrize(("N", "T"), SHAPES)
@DTYPES
@TRAINED_KINDS
def test_an_unroll_gives_the_same_bits(isa, kind, dtype, N, T):
    assert_same_unrolls(kind, dtype, N, T)


@pytest.mark.parametrize(("N", "T"), SHAPES)
@TRAINED_KINDS
def test_an_unroll_of_mixed_precision_gives_the_same_bits(mixed_isa, kind, N, T):
    assert_same_unrolls(kind, kernels.MIXED, N, T)


# What is read and predicted: Sizes, settings of a model, and what unroll() gets.
READ = {
    "embedding": (Sizes(input_symbols=11, output_symbols=11), {"embedding_size": 6}, ()),
    "labels": (Sizes(input_symbols=11, output_symbols=11), {"labels": ["a", "b", "c"]},
               ("labels",)),
    "numbers": (Sizes(input_size=5, output_size=3), {"loss": "mean_squared_error"},
                ("mask", "units", "weights")),
    "binary": (Sizes(input_size=5, output_symbols=4), {"loss": "binary_cross_entropy"}, ("mask",)),
    "symbols": (Sizes(input_symbols=11, output_size=2), {"loss": "mean_squared_error"}, ()),
    "lengths": (Sizes(input_symbols=11, output_symbols=11), {}, ("lengths", "weights")),
}


@pytest.mark.parametrize("read", READ)
@DTYPES
@TRAINED_KINDS
def test_all_that_can_be_read_gives_the_same_bits(kind, dtype, read):
    sizes, settings, more = READ[read]
    for N, L, dropout in ((3, 1, 0.0), (13, 2, 0.2)):
        T, rng = 9, np.random.default_rng(N)
        model = fastrnn.Model(sizes, **cell_of(kind), hidden_size=44, num_layers=L, dtype=dtype,
                              dropout=dropout, weight_drop=dropout, seed=1, **settings)
        model.block[:] = rng.normal(0, 0.2, model.block.shape)
        if sizes.input_size:
            inputs = rng.normal(size=(N, T, sizes.input_size)).astype(dtype)
        else:
            inputs = rng.integers(0, sizes.input_symbols, (T, N)).astype(np.int32)
        if sizes.output_size:
            targets = rng.normal(size=(N, T, sizes.output_size)).astype(dtype)
        else:
            targets = rng.integers(0, sizes.output_symbols, (T, N)).astype(np.int32)
        lengths = rng.integers(1, T + 1, N)
        given = {
            "mask": (rng.random((T, N)) < 0.7).astype(np.uint8), "weights": rng.random((T, N)),
            "units": rng.random(sizes.outputs), "labels": rng.random((N, 3)).astype(dtype),
            "lengths": lengths}
        given = {name: given[name] for name in more}
        if "lengths" in more:
            given["mask"] = (np.arange(T)[:, None] < lengths).astype(np.uint8)
        start = rng.uniform(-1, 1, model.zero_state(N).shape).astype(dtype)

        def run(cut_for, threads, model=model, L=L, N=N, inputs=inputs, targets=targets,
                start=start, given=given):
            network = kernels_of(model, 9, N)
            if cut_for > len(network.slices):
                shared(network, cut_for)
            state, grads = start.copy(), np.full_like(model.block, np.nan)
            right = np.zeros((9, N), np.uint8)
            with one_thread():
                losses = network.unroll(model.block, inputs, state, targets, grads,
                                        generators_of(model, network), threads, right, **given)
                out = np.empty((N, 9, model.sizes.outputs), model.block.dtype)
                told = {k: v for k, v in given.items() if k in ("mask", "lengths", "labels")}
                network.unroll(model.block, inputs, start.copy(), out=out, threads=threads, **told)
            assert np.isfinite(grads).all()
            return [a.tobytes() for a in (losses, state, grads, right, out)]

        assert_same(run)


def kernels_of(model, T, N):
    """A network of its own: Model.network() keeps those that it has made."""
    model._networks.clear()
    return model.network(T, N)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize("dtype", kernels.PRECISIONS)
@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_layers_give_the_same_bits(monkeypatch, layer, dtype):
    made = []

    class Network(kernels.Network):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            if cut > len(self.slices):
                shared(self, cut)
            made.append(self)

    monkeypatch.setattr(kernels, "Network", Network)
    for N, T in SHAPES:
        rng = np.random.default_rng(N)
        x, dh = (rng.normal(size=(N, T, size)).astype(kernels.array_dtype(dtype))
                 for size in (6, 72))
        lengths = rng.integers(1, T + 1, N)

        def run(cut_for, threads, x=x, dh=dh, lengths=lengths):
            nonlocal cut
            cut = cut_for
            one = layer(6, 72, dtype=dtype, seed=2, threads=threads)
            found = []
            for ends in None, lengths:  # with gradients with respect to the last h, and c
                h = one.forward(x, lengths=ends)
                last = [dh[:, 0]] * (2 if layer is nn.LSTM else 1)
                found += [h, *one.backward(dh, *last), *(g.copy() for g in one.grads.values())]
            return [a.tobytes() for a in found]

        cut = 0
        assert_same(run)
    assert len(made) >= len(SHAPES) * (1 + len(CUTS))


@TRAINED_KINDS
def test_training_gives_the_same_bits(kind):
    for N, dtype in ((1, "float32"), (7, "float64"), (9, "float32"), (40, "float64"),
                     (50, kernels.MIXED)):
        ids = np.random.default_rng(3).integers(0, 150, 40 * N)

        def run(cut_for, threads, N=N, dtype=dtype, ids=ids):
            model = random_model(kind, dtype, 150, 52, num_layers=2, dropout=0.2)
            optimizer, rate = ("adagrad", 0.05) if N % 3 else ("adam", 0.003)
            run = Run(model, ids, 5, N, optimizer, rate, threads, clip_norm=0.8, best_every=10)
            if cut_for > len(run.network.slices):
                shared(run.network, cut_for)
            loss, smooth = run.run(20)
            next_loss = run.training.next_loss()
            return loss.tobytes(), smooth.tobytes(), next_loss, run.everything()

        assert_same(run)


@TRAINED_KINDS
def test_each_stage_is_cut(kind):
    """What the meter counts: with 2 slices and 6 threads each has 3 portions, and each step a round
    for each phase; with one thread a slice there is one stage for all."""
    model = random_model(kind, "float32", 21, 200, num_layers=2)
    network = network_of(model, 7, 13)
    window = random_window(model, 7, 13)
    network.measure()
    unroll(model, network, *window)
    assert network.stages["slices"][:2] == (1, 2) and network.stages["forward"][0] == 0
    shared(network, 6).measure()
    assert network.useful_threads(64) == 6
    unroll(model, network, *window)
    phases = 2 if kind in ("memory", "gru, reset before", "mgu", "mlstm") else 1
    stages = network.stages
    assert stages["slices"][0] == 0
    for name in ("forward", "backward"):
        assert stages[name][:2] == (2 * 7 * phases, 2 * 7 * phases * 6), name
    assert stages["inputs"][:2] == (2, 12) and stages["gradients"][:2] == (2, 12)
    for rounds, jobs, seconds, longest in stages.values():
        assert 0 <= longest <= seconds * (1 + 1e-9) and (rounds > 0) == (jobs > 0) == (seconds > 0)


@TRAINED_KINDS
def test_streams_are_shared_where_there_are_enough(mixed_isa, kind):
    """With products of bfloat16, but not by AMX: then all steps are one stage. A slice of 17
    streams serves two threads so, and seven threads must meet at each step."""
    model = random_model(kind, kernels.MIXED, 21, 270, num_layers=2)
    network, window = network_of(model, 7, 17), random_window(model, 7, 17)
    assert network.slices == [(0, 17)]
    phases = 2 if kind in ("memory", "gru, reset before", "mgu", "mlstm") else 1
    for cut_for, steps in ((2, 7 * phases if mixed_isa == "amx" else 1), (7, 7 * phases)):
        network.cut_for = 0
        shared(network, cut_for).measure()
        unroll(model, network, *window)
        for name in ("forward", "backward"):
            assert network.stages[name][:2] == (2 * steps, 2 * steps * cut_for), (name, cut_for)


@ALL_KINDS
def test_small_work_is_not_shared(kind):
    model = random_model(kind, "float32", 5, 20)
    for N, slices in ((1, 1), (50, 4)):
        network = network_of(model, 4, N)
        assert [network.useful_threads(n) for n in (1, 3, 100)] == [1, min(3, slices), slices]


def test_large_work_is_shared():
    sizes = {"cell": "lstm", "num_layers": 1, "embedding_size": None, "dropout": 0.0,
             "loss": "cross_entropy", "dtype": "float32"}
    for H, N, slices in ((512, 1, 1), (512, 64, 2), (128, 50, 4)):
        places = {"layer0.Wx": 0, "layer0.Wh": 0, "layer0.b": 0, "head.W": 0, "head.b": 0}
        network = kernels.Network(sizes | {"hidden_size": H}, 65, 0, 65, places, 1, 2, N)
        assert len(network.slices) == slices
        assert [network.useful_threads(n) for n in (1, 2, 8)] == [1, 2, 8]


def test_an_echo_state_network_is_not_shared():
    model = random_model("esn", "float32", 12, 200)
    network = network_of(model, 4, 3)
    network.cut_for = 4
    assert network.useful_threads(4) == 1

"""rnn-1: K 83, H 100, T 25, N 1, AdaGrad 0.1, clip 5; updates, sampling, and AdaGrad alone.

All are the defaults of fastrnn and of the peers, which start from the same numbers.
"""

import os

import numpy as np
import pytest
import torch_peer
from numpy_hoisted import NumpyHoisted
from numpy_step import NumpyStep
from torch_peer import TorchPeer

import fastrnn
from fastrnn import _core

LEARNING_RATE, CLIP = 0.1, 5.0

RUNNING = fastrnn.build_info()["isa"]
OTHERS = [isa for isa in fastrnn.build_info()["isas"] if isa != RUNNING]
PEERS = {
    "NumPy, step by step, float64": lambda dtype, *args: NumpyStep(*args),
    "NumPy, hoisted": lambda dtype, *args: NumpyHoisted(*args, dtype=dtype),
    "PyTorch, 1 thread": lambda dtype, *args: TorchPeer(*args, dtype=dtype, threads=1),
    "PyTorch, 2 threads": lambda dtype, *args: TorchPeer(*args, dtype=dtype, threads=2),
}

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_peer = pytest.mark.parametrize("name", PEERS)


def make_peer(name, dtype, params, corpus):
    if name.startswith("PyTorch") and not torch_peer.available():
        pytest.skip("PyTorch is not installed")
    if name.endswith("2 threads") and os.cpu_count() < 2:
        pytest.skip("there is only one core")
    return PEERS[name](dtype, params, corpus.ids, len(corpus.vocabulary))


@both_dtypes
@pytest.mark.parametrize("isa", [RUNNING, *OTHERS])
def test_update_fastrnn(measure, monkeypatch, corpus, dtype, isa):
    monkeypatch.setenv("FASTRNN_ISA", isa)
    model = fastrnn.Model(corpus.vocabulary, dtype=dtype)
    trainer = fastrnn.Trainer(model, corpus, progress=False)
    contestant = "fastrnn" if isa == RUNNING else f"fastrnn, {isa}"
    measure(f"rnn-1, {dtype}", contestant, "update", trainer.run)


@both_dtypes
@each_peer
def test_update_peer(measure, corpus, dtype, name):
    start = fastrnn.Model(corpus.vocabulary, dtype="float64").params
    peer = make_peer(name, dtype, start, corpus)

    def work(n):
        for _ in range(n):
            peer.update()

    measure(f"rnn-1, {dtype}", name, "update", work)


@pytest.fixture(scope="module")
def trained(corpus):
    return fastrnn.train(corpus, updates=2000, dtype="float64", progress=False)


@both_dtypes
def test_sample_fastrnn(measure, corpus, trained, dtype):
    model = fastrnn.Model(corpus.vocabulary, dtype=dtype)
    model.block[:] = trained.block
    first = corpus.vocabulary.decode([0])
    measure(f"sample, {dtype}", "fastrnn", "character",
            lambda n: model.sample(n, prime=first, seed=0))


@both_dtypes
@each_peer
def test_sample_peer(measure, corpus, trained, dtype, name):
    peer = make_peer(name, dtype, trained.params, corpus)
    measure(f"sample, {dtype}", name, "character",
            lambda n: peer.sample(peer.h, 0, n, np.random.default_rng(0)))


def fastrnn_adagrad(p, g):
    optimizer, memory = _core.Optimizer("adagrad", LEARNING_RATE, clip_value=CLIP), np.zeros_like(p)
    return lambda: optimizer.step(1, p, g, [memory])


def numpy_adagrad(p, g):
    m, s = np.zeros_like(p), np.empty_like(p)

    def step():
        np.clip(g, -CLIP, CLIP, out=g)
        np.multiply(g, g, out=s)
        np.add(m, s, out=m)
        np.add(m, 1e-8, out=s)
        np.sqrt(s, out=s)
        np.divide(g, s, out=s)
        np.multiply(s, LEARNING_RATE, out=s)
        np.subtract(p, s, out=p)

    return step


def torch_adagrad(p, g, fused=False):
    if not torch_peer.available():
        pytest.skip("PyTorch is not installed")
    import torch

    torch.set_num_threads(1)  # so few elements are not shared out
    tensor = torch.nn.Parameter(torch.from_numpy(p))
    tensor.grad = torch.from_numpy(g)
    optimizer = torch.optim.Adagrad([tensor], lr=LEARNING_RATE, fused=fused,
                                    initial_accumulator_value=1e-8, eps=0.0)

    def step():
        torch.nn.utils.clip_grad_value_([tensor], CLIP)
        optimizer.step()

    return step


ADAGRADS = {
    "fastrnn": fastrnn_adagrad,
    "NumPy, in place": numpy_adagrad,
    "PyTorch": torch_adagrad,
    "PyTorch, fused": lambda p, g: torch_adagrad(p, g, fused=True),
}


@both_dtypes
@pytest.mark.parametrize("name", ADAGRADS)
def test_adagrad(measure, corpus, dtype, name):
    p = fastrnn.Model(corpus.vocabulary, dtype=dtype).block  # (26783)
    g = np.random.default_rng(1).normal(0, 5, p.size).astype(dtype)
    clipped = np.clip(g, -CLIP, CLIP)
    expected = p - LEARNING_RATE * clipped / np.sqrt(clipped**2 + 1e-8)
    step = ADAGRADS[name](p, g)
    step()
    np.testing.assert_allclose(p, expected, atol=1e-6 if dtype == "float32" else 1e-14)

    def work(n):
        for _ in range(n):
            step()

    measure(f"AdaGrad with clip, {dtype}", name, "step", work)

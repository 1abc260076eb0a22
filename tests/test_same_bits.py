"""Short runs of every cell, source, optimizer and dtype give the numbers that 0.1.0 gave.

`same_bits.json` holds, for each run, its losses, a sample and the SHA-256 of all that it left:
parameters, states, losses. With the compiler and BLAS that recorded it the digests must be equal;
another compiler may round otherwise, so there the losses are compared with a tolerance. To record
anew after a change that is meant to change numbers: ``FASTRNN_RECORD=1 pytest
tests/test_same_bits.py``.
"""
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from runs import classic
from scipy.linalg import blas

import fastrnn

RECORD = Path(__file__).with_name("same_bits.json")
CELLS = ("rnn", "relu", "lstm", "gru", "gru, reset before", "memory", "esn")
DTYPES = ("float32", "float64")


def text():
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(1, 6))) for _ in range(30)]
    return " ".join(rng.choice(words, 160))


def records():
    rng = np.random.default_rng(6)
    names = ["".join(rng.choice(list("klmnop"), rng.integers(2, 8))) for _ in range(40)]
    return fastrnn.Corpus.from_records(names, [str(len(name) % 3) for name in names])


def symbols():
    return fastrnn.tasks.memorization(30, 3, symbols=4, blanks=1)


def numbers():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(23, 9, 3))
    lengths = rng.integers(4, 10, 23)
    return fastrnn.Sequences(x, np.cumsum(x, axis=1)[:, :, :2] / 3, lengths=lengths)


def words():
    return fastrnn.Corpus.from_text(text(), unit="word")


SOURCES = {"text": lambda: fastrnn.Corpus.from_text(text()), "words": words, "records": records,
           "symbols": symbols, "numbers": numbers}


def runs():
    """name -> source, arguments of train"""
    out = {}
    for cell in CELLS:
        shape = {"cell": cell.split(", ")[0], "hidden_size": 11}
        if cell != "esn":
            shape["reset_after"] = "before" not in cell
        for dtype in DTYPES:
            more = {"dropout": 0.3} | ({} if cell == "esn" else {"num_layers": 2})
            out[f"{cell} {dtype}"] = "text", shape | more | {
                "dtype": dtype, "seq_length": 7, "batch_size": 9, "valid_fraction": 0.2,
                "optimizer": "adam", "learning_rate": 0.01}
            for source in SOURCES:
                if source == "records" and cell == "esn":
                    continue
                more = {"embedding_size": 5} if source == "words" and cell != "esn" else {}
                out[f"{cell} {dtype} {source}"] = source, shape | more | {
                    "dtype": dtype, "batch_size": 4, "optimizer": "rmsprop",
                    "valid_fraction": 0.25, "epochs": 2,
                    "valid_split": "random" if source == "records" else "end",
                    "scale": False,
                    "accuracy": source != "numbers"}
    for dtype in DTYPES:
        for optimizer, more in (("adagrad", {}), ("rmsprop", {"decay_rate": 0.8}), ("adam", {}),
                                ("sgd", {}), ("sgd", {"momentum": 0.9})):
            out[f"{optimizer} {more} {dtype}"] = "text", {
                "optimizer": optimizer, "dtype": dtype, "hidden_size": 12, "seq_length": 8,
                "clip_norm": 1.0, **more}
        for init in ("normal", "uniform", "xavier", "orthogonal", "identity"):
            out[f"{init} {dtype}"] = "text", {"init": init, "dtype": dtype, "hidden_size": 9,
                                              "seq_length": 6}
        out[f"shuffled {dtype}"] = "text", {
            "order": "shuffled", "cell": "gru", "hidden_size": 8, "batch_size": 3, "updates": 30,
            "valid_fraction": 0.1, "dtype": dtype}
        out[f"balanced {dtype}"] = "records", {
            "balance": "labels", "cell": "memory", "hidden_size": 8, "batch_size": 5,
            "loss": "binary_cross_entropy", "dropout": 0.2, "dtype": dtype, "updates": 20}
        out[f"schedule {dtype}"] = "text", {
            "schedule": "cosine", "warmup": 5, "cell": "lstm", "hidden_size": 10, "dtype": dtype,
            "valid_fraction": 0.1, "valid_every": 7, "epochs": 2, "patience": 3}
        out[f"decay {dtype}"] = "text", {
            "learning_rate_decay": 0.5, "learning_rate_decay_after": 1, "epochs": 3,
            "hidden_size": 10, "dtype": dtype}
    return out


RUNS = runs()


def digest(arrays):
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()


def outcome(name):
    source, settings = RUNS[name]
    data = SOURCES[source]()
    model = classic(data, progress=False, seed=3, threads=2,
                    **({"updates": 25} | settings if "epochs" not in settings else settings))
    history = model.history
    found = {
        "losses": [float(x) for x in (*history.loss[:3], *history.loss[-2:])],
        "valid": [float(x) for x in history.valid_loss],
        "accuracy": [float(x) for x in history.accuracy],
        "digest": digest([history.loss, history.smooth_loss, model.block, model.state]),
    }
    if source in ("symbols", "numbers"):
        found["score"] = model.score(data)
        found["predicted"] = digest([model.predict(data)])
        return found
    label = {"label": "1"} if source == "records" else {}
    model.starts = np.empty(0)  # 0.1.0 drew the first symbol of a text uniformly
    found["score"] = model.score(data)
    found["samples"] = [model.sample(30, seed=2, **label), *model.sample(
        20, n=2, temperature=0.7, top_k=5, top_p=0.9, seed=2, prime=data.vocabulary.decode(
            data.ids[1:4] if source == "text" else []), **label)]
    return found


def echo(dtype):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(260, 2))
    y = np.cumsum(x, axis=0)[:, :1] * 0.1
    start = {"start": "zero", "warmup": 20, "dtype": dtype}
    network = fastrnn.EchoStateNetwork(70, density=0.3, bias_scale=0.1, ridge=1e-3, **start)
    network.fit(x, y)
    fed = fastrnn.EchoStateNetwork(40, density=0.5, feedback=True, ridge=1e-2, **start)
    fed.fit(x, y)
    free = fastrnn.EchoStateNetwork(40, density=0.5, leak_rate=0.6, ridge=1e-2, **start)
    free.fit(x[:-1], x[1:])
    # the states are 0.1.0's; since then the readout's bias is not penalized
    return {"states": digest([network.states(x)]), "score": network.score(x, y),
            "predicted": digest([network.predict(x), fed.predict(x), free.generate(30, x)])}


def environment():
    info = fastrnn.build_info()
    kinds = {library["architecture"] for library in threadpoolctl.threadpool_info()
             if library["user_api"] == "blas"}
    return " ".join([info["compiler"], *info["blas"], *sorted(kinds), products(), info["numpy"],
                     info["scipy"]])


def products():
    """What tells apart processors for which one kind of OpenBLAS cuts its products otherwise."""
    rng, found = np.random.default_rng(0), []
    for gemm, dtype in (blas.sgemm, np.float32), (blas.dgemm, np.float64):
        for m, n, k in rng.integers(1, 48, (60, 3)):
            a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
            found += [gemm(1, a, b), gemm(1, b.T, a.T), gemm(1, np.asfortranarray(a), b)]
    return digest(found)[:8]


OUTCOMES = {**{name: (outcome, name) for name in RUNS},
            **{f"echo state network {dtype}": (echo, dtype) for dtype in DTYPES}}


@pytest.mark.parametrize("name", OUTCOMES)
def test_numbers_are_those_of_before(isa, name):
    function, argument = OUTCOMES[name]
    found = function(argument)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    if os.environ.get("FASTRNN_RECORD"):
        record.setdefault("environment", environment())
        record.setdefault(isa, {})[name] = found
        RECORD.write_text(json.dumps(record, indent=0, ensure_ascii=True) + "\n")
        return
    # since then the binary cross-entropy, of "balanced", is computed in logarithms
    if record["environment"] == environment() and isa in record and "balanced" not in name:
        expected = record[isa][name]
        if "records" in name:  # summed in another order since
            for key in ("score", "valid"):
                assert found.pop(key) == pytest.approx(expected.pop(key), rel=1e-14), key
        assert found == expected
        return
    expected = record["baseline"][name]
    tolerance = 1e-9 if "float64" in name else 5e-3
    for key in {"losses", "valid", "score"} & expected.keys():
        assert found[key] == pytest.approx(expected[key], rel=tolerance), key


# ---- files of format 5, written by 0.1.0 ----

FILES = Path(__file__).with_name("format5")
RESUMED = {  # file -> source, the arguments that made it
    "text": ("text", {"cell": "lstm", "num_layers": 2, "dropout": 0.3, "batch_size": 9,
                      "seq_length": 7, "valid_fraction": 0.2, "optimizer": "adam"}),
    "records": ("records", {"cell": "memory", "batch_size": 5, "balance": "labels"}),
    "symbols": ("symbols", {"cell": "gru", "batch_size": 4, "accuracy": True}),
    "numbers": ("numbers", {"cell": "rnn", "batch_size": 4, "valid_fraction": 0.2,
                            "valid_split": "end", "scale": False}),
    "esn": ("text", {"cell": "esn", "batch_size": 3, "density": 0.5}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_files_of_format_5_resume(tmp_path, name):
    source, settings = RESUMED[name]
    data, path = SOURCES[source](), FILES / f"{name}.safetensors"
    settings = settings | {"hidden_size": 9, "dtype": "float64", "progress": False, "seed": 1}
    if os.environ.get("FASTRNN_RECORD"):
        FILES.mkdir(exist_ok=True)
        classic(data, **settings, updates=11, checkpoint=path)
    whole = classic(data, **settings, updates=25)
    resumed = classic(data, progress=False, updates=25, resume=path,
                            checkpoint=tmp_path / "m.safetensors")
    # the file is of one compiler and instruction set, and the rest of the run perhaps of another
    np.testing.assert_allclose(resumed.history.loss, whole.history.loss, rtol=1e-9)
    np.testing.assert_allclose(resumed.block, whole.block, rtol=1e-7, atol=1e-12)
    assert fastrnn.load(path).history.loss.size == 11


def test_an_echo_state_network_of_format_5_is_saved_again(tmp_path):
    """It says nothing of its targets, and then neither does the new file."""
    old = fastrnn.EchoStateNetwork.load(FILES / "network.safetensors")
    old.save(tmp_path / "new.safetensors")
    new = fastrnn.EchoStateNetwork.load(tmp_path / "new.safetensors")
    x = np.random.default_rng(9).normal(size=(200, 2))
    assert np.array_equal(new.predict(x), old.predict(x))


def test_an_echo_state_network_of_format_5_loads():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(200, 2))
    path = FILES / "network.safetensors"
    network = fastrnn.EchoStateNetwork(30, density=0.5, ridge=1e-2, warmup=10, start="zero")
    network.fit(x, x[:, :1])
    read = fastrnn.EchoStateNetwork.load(path)
    np.testing.assert_allclose(read.states(x), network.states(x), rtol=1e-9, atol=1e-12)
    features = np.hstack([np.ones((200, 1)), x, read.states(x)])
    F, Y = features[10:], x[10:, :1]  # its readout's bias is penalized
    W = np.linalg.solve(F.T @ F + 1e-2 * np.eye(33), F.T @ Y)
    np.testing.assert_allclose(read.predict(x), features @ W, rtol=1e-7, atol=1e-9)

"""Good files of every kind, small ones, from which the fuzzing starts."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn


@dataclass
class Seed:
    """A file, and the data on which its run was trained."""

    name: str
    data: bytes
    source: Any = None  # None: no training run
    network: bool = False  # whether it is an EchoStateNetwork
    valid: Any = None  # validation data of the run's own
    state: bool = False  # whether it is a state of layers and an optimizer

    @property
    def text(self):
        """Something to score."""
        vocabulary = getattr(self.source, "vocabulary", None)
        if vocabulary is None:
            return self.source
        if vocabulary.unit == "byte":
            return bytes(vocabulary.symbols[:5])
        symbols = [s for s in vocabulary.symbols if s not in ("\x02", "\x03")][:5]
        if vocabulary.unit == "bpe":
            return vocabulary.decode([60, 61, 62])
        return " ".join(symbols) if vocabulary.unit == "word" else "".join(symbols)


def sources():
    """The data of all runs, by name."""
    rng = np.random.default_rng(0)
    text = "".join(rng.choice([*"abcdefgh \né"], 500))
    words = " ".join(rng.choice(["the", "a", "cat", "dog", "sat", "mat."], 300))
    names = ["".join(rng.choice([*"abcdef"], rng.integers(2, 9))) for _ in range(40)]
    series, ids = rng.normal(size=(30, 7, 2)), rng.integers(0, 4, (30, 6))
    return {
        "char": fastrnn.Corpus.from_text(text), "byte": fastrnn.Corpus.from_text(text, "byte"),
        "word": fastrnn.Corpus.from_text(words, "word", min_count=2),
        "bpe": fastrnn.Corpus.from_text(words, "bpe", vocabulary_size=270),
        "records": fastrnn.Corpus.from_records(names),
        "labels": fastrnn.Corpus.from_records(names, ["left", "right"] * 20),
        "numbers": fastrnn.Sequences(series[:, :-1], series[:, 1:]),
        "symbols": fastrnn.Sequences(ids, ids[:, ::-1].copy()),
    }


# source, settings of the model, settings of the trainer
RUNS = {
    "classic": ("char", {}, {"seq_length": 5, "updates": 110, "samples_at": [0, 7, "1e"],
                             "sample_length": 8}),
    "validated": ("char", {"cell": "lstm", "num_layers": 2, "dropout": 0.2},
                  {"batch_size": 3, "optimizer": "adam", "valid_fraction": 0.2, "valid_every": 4,
                   "seq_length": 5, "patience": 5, "schedule": "cosine", "epochs": 3}),
    "streams": ("char", {"dropout": 0.3, "dtype": "float64"},
                {"batch_size": 9, "seq_length": 4, "optimizer": "sgd", "momentum": 0.5}),
    "words": ("word", {"cell": "gru", "embedding_size": 3},
              {"order": "shuffled", "batch_size": 2, "accuracy": True, "seq_length": 5}),
    "bytes": ("byte", {"cell": "memory", "dtype": "mixed_bfloat16"},
              {"seq_length": 4, "optimizer": "rmsprop"}),
    "tokens": ("bpe", {}, {"seq_length": 4, "samples_at": [3], "sample_length": 8}),
    "records": ("records", {"cell": "mgu"}, {"batch_size": 4, "minutes": 1.0}),
    "labels": ("labels", {"cell": "gru", "reset_after": False, "dropout": 0.3},
               {"batch_size": 4, "valid_fraction": 0.2, "balance": "labels"}),
    "numbers": ("numbers", {"cell": "relu"}, {"batch_size": 5}),
    "symbols": ("symbols", {"cell": "lstm"}, {"batch_size": 5, "accuracy": True}),
    "averaged": ("char", {"cell": "lstm"},
                 {"seq_length": 5, "weight_average": 0.2, "valid_fraction": 0.2}),
    "own validation": ("symbols", {}, {"batch_size": 5, "valid": slice(7), "valid_every": 4}),
    "reservoir": ("char", {"cell": "esn", "density": 1.0, "hidden_size": 12},
                  {"optimizer": "adam", "seq_length": 5}),
}


def layers_and_optimizer():
    """A network, its optimizer, and what is saved of them."""
    network = fastrnn.nn.Sequential(fastrnn.nn.Embedding(5, 3), fastrnn.nn.LSTM(3, 4))
    optimizer = fastrnn.optim.Adam(network.params, weight_decay=0.1)
    return network, optimizer, {"network": network.state_dict(), "epoch": 3,
                                "optimizer": optimizer.state_dict()}


def seeds(folder):
    """A list of `Seed`, the files of which are written in this folder first."""
    out, path, given = [], Path(folder) / "seed.safetensors", sources()
    for name, (source, model, run) in RUNS.items():
        source = given[source]
        labels = list(source.labels) or None
        valid = source[run["valid"]] if "valid" in run else None
        network = fastrnn.Model(source.vocabulary or source.sizes,
                                **{"hidden_size": 4, "labels": labels} | model)
        trainer = fastrnn.Trainer(network, source, progress=False, sample_every=0, threads=1,
                                  **run | {"valid": valid})
        trainer.run(updates=run.get("updates", 12))
        trainer.save(path)
        out.append(Seed(name, path.read_bytes(), source, valid=valid))
    fastrnn.Model(given["char"].vocabulary, hidden_size=4).save(path)
    out.append(Seed("plain", path.read_bytes(), given["char"]))
    fastrnn.nn.save_state(path, layers_and_optimizer()[2])
    out.append(Seed("state", path.read_bytes(), state=True))
    x = np.random.default_rng(1).normal(size=(120, 2))
    for name, settings, targets in (("echo", {"feedback": True}, x[1:]),
                                    ("echo_flat", {"dtype": "float32"}, x[1:, 0])):
        network = fastrnn.EchoStateNetwork(10, density=0.5, warmup=10, **settings)
        network.fit(x[:-1], targets).save(path)
        out.append(Seed(name, path.read_bytes(), network=True))
    return out

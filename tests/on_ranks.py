"""Short trainings, for tests/test_distributed.py: a program for one process, or several under
mpiexec. `python on_ranks.py FOLDER CASE...` writes a checkpoint of each, and each rank the model
that it got; the word before a colon says what else happens: "kill:text"."""
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn.training import following, leading

RNG = np.random.default_rng(0)
leading.LEAST = 0  # also short validations are shared
TEXT = "".join(RNG.choice([*"abcdefgh \n"], 6000))
NAMES = ["".join(RNG.choice([*"abcdefgh"], RNG.integers(1, 9))) for _ in range(150)]
PLAN = {"updates": 14, "seed": 3, "valid_fraction": 0, "progress": False, "learning_rate": 1e-2,
        "schedule": "constant", "warmup": 0}


def text(**more):
    return fastrnn.Corpus.from_text(TEXT), {
        "hidden_size": 20, "batch_size": 50, "seq_length": 6, "optimizer": "adagrad",
        "clip_norm": 0.5} | more


def shuffled(**more):
    return text(order="shuffled", num_layers=2, dropout=0.3, embedding_size=5, optimizer="adam",
                cell="gru", **more)


def wide(**more):
    return text(hidden_size=260, batch_size=70, seq_length=3, optimizer="sgd", momentum=0.5,
                valid_fraction=0.3, valid_every=6, **more)


def small(**more):
    return text(batch_size=5, cell="rnn", **more)


def validated(**more):
    return text(batch_size=96, valid_fraction=0.2, valid_every=4, cell="lstm", accuracy=True,
                optimizer="rmsprop", dropout=0.2, clip_norm=None, weight_average=0.3, **more)


def mixed(**more):
    return text(dtype="mixed_bfloat16", optimizer="adam", **more)


def double(**more):
    return text(dtype="float64", num_layers=2, batch_size=99, optimizer="adam", **more)


def esn(**more):
    return text(cell="esn", optimizer="adam", dropout=0.0, **more)


def records(**more):
    return fastrnn.Corpus.from_records(NAMES, labels=[name[0] for name in NAMES]), {
        "hidden_size": 18, "batch_size": 40, "optimizer": "adam", "cell": "lstm",
        "valid_fraction": 0.3, "patience": 3} | more


def alone(**more):
    long = "abc" * 700
    return fastrnn.Corpus.from_records([*NAMES, long]), {
        "hidden_size": 18, "batch_size": 40, "optimizer": "adam", "cell": "lstm", "dropout": 0.2,
        "updates": 8} | more


def sequences(**more):
    rng = np.random.default_rng(1)
    inputs, lengths = rng.normal(size=(90, 10, 3)), rng.integers(4, 11, 90)
    weights = rng.uniform(0, 2, (90, 10))
    return fastrnn.Sequences(inputs, inputs.cumsum(axis=1)[..., :2], lengths=lengths,
                             weights=weights), {
        "hidden_size": 18, "batch_size": 45, "optimizer": "adam", "cell": "lstm",
        "num_layers": 2, "valid_fraction": 0.4, "valid_every": 5} | more


def windows(**more):
    inputs = np.random.default_rng(2).normal(size=(40, 300, 2))
    return fastrnn.Sequences(inputs, inputs.cumsum(axis=1)[..., :1]), {
        "hidden_size": 18, "batch_size": 36, "seq_length": 9, "optimizer": "adam",
        "cell": "gru", "valid_fraction": 0.3, "valid_every": 3} | more


def called(**more):
    def callback(trainer):
        trainer.model.params["head.b"][:] = trainer.update
        return trainer.update >= 10

    return text(callback=callback, callback_every=5, optimizer="adam", **more)


CASES = {case.__name__: case for case in (
    text, shuffled, wide, small, validated, mixed, double, esn, records, alone, sequences, windows,
    called)}


def soon(number):
    """This process gets a signal in a while, unless it is rank 0."""
    if fastrnn.distributed.rank():
        threading.Timer(1.0, os.kill, (os.getpid(), number)).start()


def run(folder, name):
    what, _, case = name.rpartition(":")
    source, settings = CASES[case]()
    rank, path = fastrnn.distributed.rank(), folder / f"{case}.safetensors"
    settings = PLAN | settings | {"checkpoint": path}
    if what == "kill":
        soon(signal.SIGKILL)
        settings |= {"updates": 10**7, "checkpoint_every": 5}
    elif what == "terminate":
        soon(signal.SIGTERM)
        settings |= {"updates": 10**7}
    elif what == "minutes":
        settings |= {"updates": None, "minutes": 0.005}
    elif what == "half":
        settings |= {"updates": 7}
    elif what == "resume":
        settings = {"resume": path, "updates": 14, "progress": False}
    elif what == "other-data" and rank:
        source = fastrnn.Corpus.from_text(TEXT[1:])
    elif what == "other-settings" and rank:
        settings["learning_rate"] = 0.5
    elif what == "diverging":
        settings |= {"learning_rate": 1e6, "optimizer": "sgd", "clip_norm": None}
    elif what == "broken" and rank:
        def make(*_):
            raise MemoryError("no room")

        following.Updates.from_described = make
    elif what == "apart":
        fastrnn.distributed.use(None)
        settings["checkpoint"] = folder / f"{case}{rank}.safetensors"
    model = fastrnn.train(source, **settings)
    model.save(folder / f"{case}-{rank}.model", overwrite=True)
    if what == "terminate":
        print(rank, model.history.stopped, flush=True)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        run(Path(sys.argv[1]), name)

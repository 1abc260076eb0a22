"""Every race: fastrnn's contestants and, from the same starting numbers, the peers'."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from contestants import (
    THREADS,
    Contestant,
    Race,
    adagrad_contestant,
    adagrad_race,
    corpus_of,
    each_sample,
    fitted,
    grid_race,
    layer_data,
    layer_race,
    make_layer,
    model_of,
    record_model,
    record_race,
    records_of,
    reservoir_race,
    reservoir_step_race,
    sample_race,
    search_race,
    sequences_of,
    series,
    series_race,
    step_race,
    task_model,
    task_race,
    trained,
    update_race,
    wave_model,
    wave_of,
)
from contestants import races as fastrnn_races
from peers import numpy_lstm, numpy_reference, optimizers, reservoirs, torch_peer
from peers.numpy_batch import NumpyBatch
from peers.numpy_hoisted import NumpyHoisted
from peers.numpy_step import NumpyStep
from peers.torch_peer import TorchPeer, TorchRecords, TorchSequences, TorchSeries
from race import Units, repeated
from works import CLASSIC, CLIP, RecordTask, Reservoir, SeriesWork, Task, Work

Contestants = dict[str, Contestant]


def torch_contestants(make: Callable[..., Units], bfloat16: bool = False) -> Contestants:
    """One for each number of threads, and where there is `bfloat16` as many under autocast; none
    where PyTorch is not installed."""
    if not torch_peer.available():
        return {}
    return {f"PyTorch, {precision}{n} thread{'s' * (n > 1)}":
            Contestant(partial(make, threads=n, **more), n)
            for precision, more in [("", {})] + bfloat16 * [("bfloat16, ", {"bfloat16": True})]
            for n in range(1, THREADS + 1)}


def start_of(work: Work) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Initial parameters and ids."""
    corpus = corpus_of(work.K)
    return model_of(work, corpus.vocabulary, "float64").params, corpus.ids


def update_peers(work: Work, dtype: str) -> Contestants:
    def one(kind, **arguments) -> Units:
        return repeated(kind(*start_of(work), work.K, **arguments).update)

    settings = {"cell": work.cell, "dtype": dtype, **work.training}
    torch = torch_contestants(partial(one, TorchPeer, **settings), dtype == "float32")
    if work == CLASSIC:
        return {"NumPy, step by step, float64": Contestant(partial(one, NumpyStep)),
                "NumPy, hoisted": Contestant(partial(one, NumpyHoisted, dtype=dtype))} | torch
    return {"NumPy, hoisted": Contestant(partial(one, NumpyBatch, **settings))} | torch


def task_peers(task: Task) -> Contestants:
    """The batches that fastrnn reads in random order the peers read as they come."""
    def one(kind, **arguments) -> Units:
        return repeated(kind(task_model(task).params, sequences_of(task), cell=task.cell,
                             **task.training, **arguments).update)

    return {"NumPy": Contestant(partial(one, numpy_reference.ReferenceSequences))
            } | torch_contestants(partial(one, TorchSequences), bfloat16=True)


def record_peers(task: RecordTask) -> Contestants:
    def torch(**arguments) -> Units:
        return repeated(TorchRecords(record_model(task).params, records_of(task).pieces(),
                                     cell="lstm", **task.training, **arguments).epoch)

    return torch_contestants(torch, bfloat16=True)


def reservoir_peers(work: Reservoir, dtype: str) -> Contestants:
    u = series(dtype)
    contestants = {"NumPy and SciPy": Contestant(
        lambda: repeated(reservoirs.scipy_loop(fitted(work, dtype), u)))}
    if reservoirs.available():
        contestants["reservoirpy"] = Contestant(
            lambda: repeated(reservoirs.reservoirpy(work.units, work.density, u)))
    return contestants


def no_peers(*arguments) -> Contestants:
    return {}


def series_peers(work: SeriesWork) -> Contestants:
    def torch(**arguments) -> Units:
        sequences = wave_of(work)
        return repeated(TorchSeries(wave_model(work).params, sequences.inputs[0],
                                    sequences.targets[0], cell="lstm", **work.training,
                                    **arguments).update)

    return torch_contestants(torch, bfloat16=True)


def step_peers(work: SeriesWork) -> Contestants:
    x, params = wave_of(work).inputs[0].astype(np.float32), wave_model(work).params
    contestants = {"NumPy": Contestant(
        lambda: each_sample(numpy_lstm.step(params, "float32"), x))}
    if torch_peer.available():
        contestants |= {f"PyTorch, {name}": Contestant(partial(
            lambda cell: each_sample(torch_peer.lstm_step(params, "float32", cell), x), cell))
            for name, cell in (("LSTMCell", True), ("LSTM", False))}
    return contestants


def reservoir_step_peers(work: Reservoir, dtype: str) -> Contestants:
    u = series(dtype)
    contestants = {"NumPy and SciPy": Contestant(
        lambda: each_sample(reservoirs.scipy_step(fitted(work, dtype), dtype), u))}
    if reservoirs.available():
        contestants["reservoirpy"] = Contestant(
            lambda: each_sample(reservoirs.reservoirpy_step(work.units, work.density, u), u))
    return contestants


def layer_peers(cell: str, dtype: str) -> Contestants:
    layer, (x, dh) = make_layer(cell, dtype), layer_data(dtype)

    def torch(**arguments) -> Units:
        return repeated(torch_peer.layer_pass(cell, x, dh, **arguments))

    return {"NumPy": Contestant(
        lambda: repeated(numpy_reference.layer_pass(cell, x, dh, layer.params)))
        } | torch_contestants(torch, dtype == "float32")


def sample_peers(dtype: str) -> Contestants:
    def one(kind, **arguments) -> Units:
        peer = kind(trained().params, corpus_of(CLASSIC.K).ids, CLASSIC.K, **arguments)
        return lambda n: peer.sample(peer.h, 0, n, np.random.default_rng(0))

    return {"NumPy, step by step, float64": Contestant(partial(one, NumpyStep)),
            "NumPy, hoisted": Contestant(partial(one, NumpyHoisted, dtype=dtype))
            } | torch_contestants(partial(one, TorchPeer, dtype=dtype))


def adagrad_peers(dtype: str) -> Contestants:
    makers = {"NumPy, in place": optimizers.numpy_adagrad}
    if torch_peer.available():
        makers["PyTorch, fused"] = optimizers.torch_adagrad
    settings = {"learning_rate": CLASSIC.learning_rate, "clip_value": CLIP}
    return {name: adagrad_contestant(partial(make, **settings), dtype)
            for name, make in makers.items()}


PEERS = {update_race: update_peers, task_race: task_peers, record_race: record_peers,
         reservoir_race: reservoir_peers, search_race: no_peers, grid_race: no_peers,
         series_race: series_peers, step_race: step_peers,
         reservoir_step_race: reservoir_step_peers, layer_race: layer_peers,
         sample_race: sample_peers, adagrad_race: adagrad_peers}


def all_races() -> dict[str, Race]:
    races = {}
    for name, make, arguments in fastrnn_races():
        races[name] = make(*arguments)
        races[name].contestants |= PEERS[make](*arguments)
    return races

"""The contestants of a work, as functions that do so many updates.

Each maker imports what it needs when it is called, so that `memory.py` measures one contestant
without the others' libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from works import Work

if TYPE_CHECKING:
    import fastrnn

Updates = Callable[[int], None]


def fastrnn_model(work: Work, vocabulary: fastrnn.Vocabulary, dtype: str) -> fastrnn.Model:
    import fastrnn

    return fastrnn.Model(vocabulary, cell=work.cell, hidden_size=work.H, num_layers=work.layers,
                         embedding_size=work.E, dtype=dtype)


def fastrnn_updates(
    work: Work, corpus: fastrnn.Corpus, dtype: str = "float32", threads: int = 1
) -> Updates:
    import fastrnn

    model = fastrnn_model(work, corpus.vocabulary, dtype)
    return fastrnn.Trainer(model, corpus, **work.training, threads=threads, progress=False).run


def numpy_updates(
    work: Work, params: dict[str, np.ndarray], ids: np.ndarray, dtype: str = "float32"
) -> Updates:
    from numpy_batch import NumpyBatch

    return repeated(NumpyBatch(params, ids, work.K, cell=work.cell, dtype=dtype, **work.training))


def torch_updates(
    work: Work, params: dict[str, np.ndarray], ids: np.ndarray, dtype: str = "float32",
    threads: int = 1,
) -> Updates:
    from torch_peer import TorchPeer

    return repeated(TorchPeer(params, ids, work.K, cell=work.cell, dtype=dtype, threads=threads,
                              **work.training))


def repeated(peer: Any) -> Updates:
    def updates(n: int) -> None:
        for _ in range(n):
            peer.update()

    return updates

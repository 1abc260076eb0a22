"""Rank 0 of several processes tells the others which updates to make."""

import json
import signal
import time
import warnings
import zlib
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..data.source import Batch
from ..distributed import Arrays, Ranks, pack, unpack
from ..model.model import Model
from ..model.network import Network
from ..model.scoring import unrolled

LEAST = 2**26  # multiplications in a batch that all ranks read together
CHECK = 60.0  # seconds from one comparison of all ranks' parameters to the next


class Leader:
    """Makes the updates of a run on all ranks. What a rank knows of a run it was told: first all
    that the updates need, then parameters and state whenever something else than an update changed
    them.

    Attributes
    ----------
    model : Model or None
        The result, for the other ranks.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.model: Model | None = None
        self._updates: Any = None  # those that the others have
        self._sent: Arrays = {}
        self._check = 0.0  # when to compare the parameters
        self._read: Any = None  # the states of the batches that are being read

    def tell(self, what: str, about: dict[str, Any] | None = None,
             arrays: Arrays | None = None) -> None:
        """Tell the other ranks to do something."""
        self.ranks.broadcast(pack({"do": what} | (about or {}), arrays))

    def run(self, updates: Any, training: kernels.Training, rates: NDArray[np.float64],
            rows: tuple[Any, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """training.run(rates, *rows) on all ranks, for `updates`, an `Updates` to which the
        `training` belongs."""
        if updates is not self._updates:
            self._make(updates)
        self._restore()
        check = time.monotonic() >= self._check
        self.tell("run", {
            "alone": training is not updates.training, "most_loss": training.most_loss,
            "counters": training.counters, "check": check, "rows": len(rows)},
            {"rates": rates} | {str(i): row for i, row in enumerate(rows) if row is not None})
        made = training.run(rates, *rows)
        replies = self.ranks.collect(reply(updates, training, self.ranks, len(made[0]), check))
        self._check = time.monotonic() + CHECK if check else self._check
        self._merge(updates, training, replies)
        return made

    def unroll(self, network: Network, batch: Batch, **arrays: Any) -> NDArray[np.float64]:
        """`fastrnn.model.scoring.unrolled` by all ranks, where they have this network and the batch
        is worth it. They keep the states of their own rows from one batch to the next."""
        updates, ranks = self._updates, self.ranks
        work = network.block.size * batch.T * batch.N
        goes_on = batch.goes_on and self._read is arrays["state"]
        if not goes_on and (
                updates is None or updates.averaged.block is not network.block or work < LEAST):
            return unrolled(network, batch, **arrays)
        self._restore()
        sent = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)
                and name != "right" and not (goes_on and name == "state")}
        self._read = arrays["state"]
        self.tell("unroll", {"steps": batch.steps, "N": batch.N}, sent)
        losses = unrolled(network, batch, **arrays, ranks=ranks)
        for data in ranks.collect(b"")[1:]:
            about, found = unpack(data)
            first, theirs = about["first"], found["losses"]
            losses[:, first : first + theirs.shape[1]] = theirs
        return losses

    def _restore(self) -> None:
        """Tell parameters and state, if something else than an update has changed them."""
        updates = self._updates
        if updates.changed:
            tensors, run = updates.stored()
            self.tell("restore", {"run": run}, tensors | {"block": updates.block})
            updates.changed = False

    def _make(self, updates: Any) -> None:
        about, arrays = updates.described()
        kept = [name for name, array in arrays.items() if name in self._sent
                and _place(array) == _place(self._sent[name])]
        self._sent = {name: array for name, array in arrays.items() if name != "model"}
        self.tell("make", about | {"kept": kept}, {
            name: array for name, array in arrays.items() if name not in kept})
        if not updates.shared:
            updates.share(self.ranks)
            self._note(updates)
        self._updates, updates.changed, self._check = updates, True, 0.0

    def _note(self, updates: Any) -> None:
        """Warn where ranks have more to do than others."""
        slices, size = updates.slices, self.ranks.size
        if slices % size:
            good = [str(n) for n in range(1, slices + 1) if slices % n == 0]
            what = (f"{size - slices} of {size} processes have nothing to do" if slices < size else
                    f"{size} processes share them unevenly")
            warnings.warn(
                f"a batch of {updates.batch_size} has {slices} "
                f"slice{'s' * (slices > 1)}, and {what}: take {' or '.join(good[-3:])}, or a "
                "larger batch_size", stacklevel=9)

    def _merge(self, updates: Any, training: kernels.Training,
               replies: list[bytes | bytearray]) -> None:
        """Take over what the other ranks computed: the states of their streams, and of their
        generators."""
        found = [unpack(data) for data in replies]
        for rank, (about, arrays) in enumerate(found[1:], 1):
            for name in "made", "checksum":
                if about[name] != found[0][0][name]:
                    raise RuntimeError(
                        f"rank {rank} has made other updates than rank 0: the run cannot go on; "
                        "resume it from its last checkpoint")
            if "state" in arrays:
                first, end = about["streams"]
                updates.state[first:end] = arrays["state"]
            updates.set_generators(about["generators"])
            if about["signal"]:
                _raise(about["signal"])


def _place(array: NDArray[Any]) -> tuple[Any, ...]:
    return array.ctypes.data, array.shape, array.dtype, array.strides


def _raise(number: int) -> None:
    """A signal that came to another rank, as if it had come to this one, unless one has."""
    handler = getattr(signal.getsignal(number), "__self__", None)
    if callable(handler) and not handler():
        signal.raise_signal(number)


def reply(updates: Any, training: kernels.Training, ranks: Ranks, made: int, check: bool,
          number: int | None = None) -> bytes:
    """What a rank tells of updates: how many were made, the states of its streams and generators,
    where asked for a checksum of the parameters, and a signal that came."""
    own, about, arrays = ranks.own(updates.slices), {}, {}
    if own and training is updates.training:
        first, end = updates.streams(own)
        arrays["state"], about["streams"] = updates.state[first:end], [first, end]
    return pack({"made": made, "signal": number, "generators": updates.get_generators(own),
                 "checksum": zlib.crc32(updates.block.tobytes()) if check else None} | about,
                arrays)


leading: ContextVar[Leader | None] = ContextVar("leading", default=None)


def digest(value: Any) -> str:
    """A short name for a value, the same where values look the same."""
    return f"{zlib.crc32(json.dumps(value, sort_keys=True, default=repr).encode()):08x}"

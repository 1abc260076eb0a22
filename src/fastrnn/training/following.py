"""Training by several processes: rank 0 leads, the others follow."""

import warnings
from types import TracebackType
from typing import Any

import numpy as np

from ..data.source import Source
from ..distributed import Arrays, Ranks, pack, ranks, unpack
from ..files.store import packed, unpacked
from ..kernels.blas import one_thread, shared_by, threads_for
from ..model.model import Model
from .interrupts import Interrupts
from .leading import Leader, digest, leading, reply
from .updates import Updates

# errors of rank 0 that are raised on all ranks; others are a RuntimeError there
ERRORS = {kind.__name__: kind for kind in (
    BrokenPipeError, OSError, ValueError, TypeError, ImportError, FloatingPointError, MemoryError,
    KeyboardInterrupt, SystemExit)}


class Together:
    """A context in which the trainings of rank 0 are shared by all ranks, which must all enter it;
    its errors end it on all. Inside another one it does nothing, and without MPI.

    `source` and `settings` are compared between the ranks: a source that was read by its
    fingerprint, a path as it is, since rank 0 alone reads it; settings by their names and values.

    Attributes
    ----------
    follows : bool
        Whether this process does what rank 0 says: it is to call `follow` and nothing else.
    """

    def __init__(self, source: Any, settings: dict[str, Any]) -> None:
        self._leader, self._reset = leading.get(), False
        self._ranks = ranks() if self._leader is None else None
        self._ended = False  # rank 0 has said so
        self.follows = self._ranks is not None and self._ranks.rank > 0
        data = source.fingerprint() if isinstance(source, Source) else repr(source)
        self._about = {"data": data, "settings": digest(settings)}

    def __enter__(self) -> "Together":
        if self._ranks is not None:
            self._ranks.check(self._about)
            shared_by(self._ranks.cores)
            if not self.follows:
                self._leader = Leader(self._ranks)
                self._token = leading.set(self._leader)
        return self

    def result(self, model: Model) -> Model:
        """The model, which the other ranks get too."""
        if self._leader is not None:
            self._leader.model = model
        return model

    def follow(self) -> Any:
        """Do what rank 0 says until it ends the context, and return the model that it has, or None;
        raise its error."""
        assert self._ranks is not None
        with Interrupts(False) as interrupted, one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rank 0 has them too
            about, arrays = _follow(self._ranks, interrupted)
        self._ended = True
        if about["error"]:
            name, text = about["error"]
            raise ERRORS.get(name, RuntimeError)(text)
        if "model" not in arrays:
            return None
        model = Model.from_stored(*unpacked(arrays["model"].tobytes(), "the model of rank 0"))
        model.run, model.history.stopped = about["run"], about["stopped"]
        return model

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 _: TracebackType | None) -> None:
        if self._ranks is None:
            return
        shared_by(None)
        if not self.follows:
            leading.reset(self._token)
            self._end(error)
        elif error is not None and not self._ended:
            self._ranks.abort(error)

    def _end(self, error: BaseException | None) -> None:
        """Tell the other ranks what came of it."""
        assert self._leader is not None
        model, said, arrays = self._leader.model, None, {}
        if error is not None:
            names = (kind.__name__ for kind in type(error).__mro__)
            said = [next((name for name in names if name in ERRORS), ""), str(error)]
        elif model is not None:
            arrays["model"] = np.frombuffer(packed(*model.stored()), np.uint8)
        self._leader.tell("end", {
            "error": said, "run": model and model.run,
            "stopped": model.history.stopped if model else ""}, arrays)


def _follow(ranks: Ranks, interrupted: Interrupts) -> tuple[dict[str, Any], Arrays]:
    """Do what rank 0 says until it says that this is the end, and return that message."""
    updates: Any = None
    sent: Arrays = {}
    state: Any = None  # of the batches that are being read
    while True:
        about, arrays = unpack(ranks.broadcast())
        if about["do"] == "make":
            sent = {name: sent[name] for name in about["kept"]} | arrays
            updates = Updates.from_described(about, sent, threads_for(about["threads"]))
            updates.share(ranks)
        elif about["do"] == "restore":
            updates.block[:] = arrays["block"]
            updates.restore(arrays, about["run"])
        elif about["do"] == "run":
            training = updates.part(about["alone"])
            training.most_loss, training.counters = about["most_loss"], about["counters"]
            made, _ = training.run(arrays["rates"], *(
                arrays.get(str(i)) for i in range(about["rows"])))
            ranks.collect(reply(updates, training, ranks, len(made), about["check"],
                                interrupted.ending))
        elif about["do"] == "unroll":
            state = arrays.pop("state", state)
            first, losses = updates.unroll(about, arrays, state, ranks)
            ranks.collect(pack({"first": first}, {"losses": losses}))
        else:
            return about, arrays

"""Processes that train one model together, on one machine or several, connected by MPI.

``mpiexec -n 4 fastrnn train book.txt``, or `fastrnn.train` in a program that ``mpiexec`` started,
shares the slices of each batch among the processes. Each is a rank, with a number from 0 on; rank 0
leads, reads the data, prints and writes. Any number of ranks and threads gives the same bits as one
process (docs/guides/machines.md). mpi4py is needed: ``pip install "fastrnn[mpi]"``.

Attributes
----------
rank, size : functions that return the number of this process, and how many there are
use : function that chooses the processes
"""

import contextlib
import json
import os
import platform
import sys
import time
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import kernels
from .kernels.blas import cores
from .kernels.build import build_info

__all__ = ["rank", "size", "use"]
Arrays = dict[str, NDArray[Any]]

# where MPICH and what is made of it, and Open MPI, tell a process how many there are, and its rank
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID")
# what must be the same on all ranks, since each makes the whole step of the optimizer
SAME = ("version", "isa", "mixed_bfloat16", "compiler", "machine")
PATIENCE = 1e-3  # seconds of waiting at full speed; later looks are so far apart
MOST_BYTES = 2**30  # of a message, whose length MPI counts in an int
ALL: Any = object()

_chosen: Any = ALL  # a communicator, or None
_ranks: "Ranks | None" = None  # of the communicator that was used last
_of: Any = None


def rank() -> int:
    """The number of this process among those that train together; 0 where it is alone."""
    comm = _communicator()
    return 0 if comm is None else int(comm.Get_rank())


def size() -> int:
    """How many processes train together; 1 without MPI.

    Raises
    ------
    ImportError
        ``mpiexec`` started several processes, and mpi4py is not installed.
    OSError
        mpi4py belongs to another MPI library than this ``mpiexec``.
    """
    comm = _communicator()
    return 1 if comm is None else int(comm.Get_size())


def use(comm: Any) -> None:
    """Choose the processes that train together from now on; by default all of ``mpiexec``.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        All processes of a communicator, each of which must call `fastrnn.train` with the same
        arguments; or None: this process alone, as for a program whose ranks train models of their
        own, each with a checkpoint of its own.
    """
    global _chosen
    _chosen = comm


def started() -> tuple[int, int]:
    """Rank and number of the processes that ``mpiexec`` started, as the environment says; (0, 1)
    without it, and with FASTRNN_MPI=0."""
    if os.environ.get("FASTRNN_MPI") == "0":
        return 0, 1
    for mine, all_of_them in zip(RANKS, SIZES, strict=True):
        with contextlib.suppress(KeyError, ValueError):
            return int(os.environ[mine]), int(os.environ[all_of_them])
    return 0, 1


def _communicator() -> Any:
    """The communicator of the processes that train together, or None."""
    if _chosen is not ALL:
        return _chosen
    count = started()[1]
    if count < 2 and "mpi4py.MPI" not in sys.modules:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise ImportError(
            f"mpiexec started {count} processes, which would each train alone and overwrite each "
            'other\'s files: to train together they need mpi4py: pip install "fastrnn[mpi]"'
            ) from None
    except RuntimeError as error:  # there is no library, or another one
        raise OSError(f"mpi4py cannot load an MPI library ({str(error).splitlines()[0]}): install "
                      "one, such as pip install mpich") from None
    if not MPI.Is_initialized() or MPI.Is_finalized():
        return None
    if MPI.COMM_WORLD.Get_size() < count:
        raise OSError(f"mpiexec started {count} processes, and mpi4py sees "
                      f"{MPI.COMM_WORLD.Get_size()}: it was made for another MPI library; take the "
                      "mpiexec of the same one, or install mpi4py for this one")
    return MPI.COMM_WORLD


def ranks() -> "Ranks | None":
    """The processes that train together; None where there is one. All must call it."""
    global _ranks, _of
    comm = _communicator()
    if comm is None or comm.Get_size() == 1:
        return None
    if _ranks is None or comm != _of:
        _ranks, _of = Ranks(comm), comm
    return _ranks


def pack(about: dict[str, Any], arrays: Arrays | None = None) -> bytes:
    """A dict for JSON and arrays as bytes, which `unpack` reads."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    head = json.dumps([about, {name: [array.dtype.str, array.shape]
                               for name, array in arrays.items()}]).encode()
    return b"".join([len(head).to_bytes(8, "little"), head,
                     *(array.data.cast("B") for array in arrays.values() if array.size)])


def unpack(data: bytes | bytearray | memoryview) -> tuple[dict[str, Any], Arrays]:
    """What was packed; the arrays are copies."""
    end = 8 + int.from_bytes(data[:8], "little")
    about, shapes = json.loads(bytes(data[8:end]))
    arrays = {}
    for name, (dtype, shape) in shapes.items():
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(data, dtype, count, end).reshape(shape).copy()
        end += arrays[name].nbytes
    return about, arrays


class Ranks:
    """The processes of a communicator, of which this is number `rank` of `size`; all must make it.

    Attributes
    ----------
    rank, size : int
    cores : int
        How many cores this process has to itself: those of its machine are shared by its ranks.
    """

    def __init__(self, comm: Any) -> None:
        from mpi4py import MPI
        self._mpi, self._comm = MPI, comm.Dup()
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        here = comm.Split_type(MPI.COMM_TYPE_SHARED)
        get = getattr(os, "sched_getaffinity", lambda _: range(cores()))
        mine = np.zeros(4096, np.uint8)
        mine[[core for core in get(0) if core < mine.size]] = 1
        shared = np.zeros_like(mine)
        here.Allreduce(mine, shared, MPI.SUM)
        # launchers may give each rank cores of its own
        own = mine.sum() if shared.max() < 2 else mine.sum() // shared.max()
        self.cores = max(1, int(own))
        here.Free()

    def broadcast(self, message: bytes = b"") -> bytes | memoryview:
        """Rank 0's message on all ranks. They wait for it without keeping a core busy."""
        length = np.array([len(message)], np.int64)
        self._wait(self._comm.Ibcast(length))
        if self.rank:
            message = bytearray(int(length[0]))  # type: ignore[assignment]
        whole = memoryview(message)
        for start in range(0, len(whole), MOST_BYTES):
            self._comm.Bcast([whole[start : start + MOST_BYTES], self._mpi.BYTE])
        return whole

    def collect(self, message: bytes) -> list[bytes | bytearray]:
        """The messages of all ranks on rank 0, in their order; on others an empty list."""
        if self.rank:
            self._comm.Send([message, self._mpi.BYTE], dest=0, tag=self._tag)
            return []
        found: list[bytes | bytearray] = [message]
        for other in range(1, self.size):
            status = self._mpi.Status()
            self._comm.Probe(other, self._tag, status)
            data = bytearray(status.Get_count(self._mpi.BYTE))
            self._comm.Recv([data, self._mpi.BYTE], source=other, tag=self._tag)
            found.append(data)
        return found

    _tag = 0  # of `collect`; a meeting has those from 1 on

    def check(self, about: dict[str, Any]) -> None:
        """Raise ValueError, on all ranks, unless they are the same fastrnn on the same instruction
        set, and `about`, for JSON, is the same as that of rank 0."""
        build = {name: value for name, value in build_info().items() if name in SAME}
        build["arithmetic"] = _arithmetic()
        every = [json.loads(found) for found in self.collect(
            json.dumps([platform.node(), build | about]).encode())]
        wrong = ""
        for other, (node, found) in enumerate(every):
            for name, value in found.items():
                if not wrong and value != every[0][1][name]:
                    wrong = (f"rank {other} on {node} has {name} {value}, and rank 0 on "
                             f"{every[0][0]} {every[0][1][name]}: {_advice(name)}")
        wrong = bytes(self.broadcast(wrong.encode())).decode()
        if wrong:
            raise ValueError(wrong)

    def own(self, slices: int) -> range:
        """The slices of a batch that are this rank's, of so many (csrc/workspace.h)."""
        return range(*((slices * r + self.size - 1) // self.size
                       for r in (self.rank, self.rank + 1)))

    def meeting(self, slices: Sequence[tuple[int, int]], gradients: Sequence[NDArray[Any]],
                losses: NDArray[np.float64]) -> "Meeting":
        """What exchanges gradients and losses (`kernels.Training.share`)."""
        return Meeting(self, self._mpi, self._comm, slices, gradients, losses)

    def abort(self, error: BaseException) -> None:
        """End all ranks at once, with one message."""
        text = f"fastrnn: rank {self.rank} on {platform.node()}: {type(error).__name__}: {error}\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode("utf-8", "replace"))
        self._comm.Abort(1)

    def _wait(self, request: Any) -> None:
        began = time.perf_counter()
        while not request.Test():
            time.sleep(PATIENCE if time.perf_counter() - began > PATIENCE else 0)


def _arithmetic() -> str:
    """A short name for how this processor computes: of one instruction set some have other
    approximations of 1 / sqrt(x) than others."""
    found = 0
    for dtype in "float32", "float64":
        x = np.geomspace(1e-6, 20, 1000).astype(dtype)
        for function in kernels.FUNCTIONS:
            y = kernels.map(function, x if function == "rsqrt" else -x)
            found = zlib.crc32(y.tobytes(), found)
    return f"{found:08x}"


def _advice(name: str) -> str:
    return {"arithmetic": "train on processors of one kind",
            "isa": "set FASTRNN_ISA to one that all have, for all",
            "mixed_bfloat16": "set FASTRNN_ISA to one that all have, for all",
            "data": "call fastrnn.train with the same data on all ranks",
            "settings": "call fastrnn.train with the same settings on all ranks, or, for a "
                        "training of its own on each, fastrnn.distributed.use(None) before it",
            }.get(name, "install the same one on all machines")


class Meeting:
    """Exchanges the losses and gradients of all ranks' slices, over messages that are set up once.

    Each rank adds the gradients of its own slices as far as the tree of csrc/unroll.h allows. Then
    each gets from all others a range of these sums, adds them on in the same tree, and sends the
    result to all: as many bytes as the best of MPI's own sums, and the same bits for any number of
    ranks."""

    def __init__(self, ranks: Ranks, MPI: Any, comm: Any, slices: Sequence[tuple[int, int]],
                 gradients: Sequence[NDArray[Any]], losses: NDArray[np.float64]) -> None:
        self._abort, self._test = ranks.abort, MPI.Request.Testall
        self._start = MPI.Prequest.Startall
        me, size, S = ranks.rank, ranks.size, len(slices)
        own = [range(*((S * r + size - 1) // size for r in (rank, rank + 1)))
               for rank in range(size)]
        cuts = [gradients[0].size * r // size for r in range(size + 1)]
        ranges = [slice(*cuts[r : r + 2]) for r in range(size)]
        T, N = losses.shape
        self._rounds: tuple[list[Any], list[Any]] = [], []
        self._columns = []
        for rank, mine in enumerate(own):
            sums = [gradients[s] for s in mine if s == 0 or not _added(s, mine, S)]
            columns = None
            if mine:
                first, end = slices[mine[0]][0], sum(slices[mine[-1]])
                kind = MPI.DOUBLE.Create_vector(T, end - first, N).Commit()
                self._columns.append(kind)
                columns = [losses.reshape(-1)[first:], 1, kind]
            for other in range(size):
                if other == rank or me not in (rank, other):
                    continue
                make, to = (comm.Send_init, other) if rank == me else (comm.Recv_init, rank)
                place = ranges[other]  # of the range that the other adds
                if columns:
                    self._rounds[0].append(make(columns, to, 1))
                self._rounds[0].extend(make(block[place], to, 2 + i)
                                       for i, block in enumerate(sums) if cuts[-1])
                self._rounds[1].append(make(gradients[0][ranges[rank]], to, 1))

    def __call__(self, sums: int) -> None:
        """Exchange the ranks' own sums (0), or the sums of all (1)."""
        try:
            requests = self._rounds[sums]
            self._start(requests)
            while not self._test(requests):
                time.sleep(0)  # a core may have several ranks
        except BaseException as error:
            self._abort(error)

    def __del__(self) -> None:
        for request in (*self._rounds[0], *self._rounds[1]):
            request.Free()
        for kind in self._columns:
            kind.Free()


def _added(s: int, own: range, slices: int) -> bool:
    """Whether the tree adds slice s to another, with only a rank's own slices."""
    step = s & -s
    return s - step >= own[0] and min(s + step, slices) <= own[-1] + 1

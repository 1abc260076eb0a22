"""Recurrent layers that are drawn at random and stay as they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigs

from .. import kernels
from ..kernels.blas import cores
from ..validate import finite_float, positive_float

BLOCK = 2**19  # numbers of states that are there at a time while a readout is fitted or applied
WORTH_SHARING = 2**17  # weights of a W from which on a second thread saves more than waiting costs
DENSE = 100  # units up to which all eigenvalues are as quickly found as the largest one


@dataclass
class Reservoir:
    """x_t = (1 - a) x_{t-1} + a tanh(Win u_t + W x_{t-1} + b + Wfb y_{t-1}) of H units.

    Attributes
    ----------
    W : csr_array of float32, shape (H, H)
    Win : ndarray, shape (H, D)
    b : ndarray, shape (H,)
    Wfb : ndarray, shape (H, K)
        Of the outputs that are fed back; K is 0 where none are.
    leak_rate : float
        a.
    """

    W: csr_array
    Win: NDArray[Any]
    b: NDArray[Any]
    Wfb: NDArray[Any]
    leak_rate: float

    def __post_init__(self) -> None:
        for array in self.tensors.values():  # the kernels have a copy
            array.setflags(write=False)

    def __getstate__(self) -> dict[str, Any]:  # of copies and of other processes
        return {name: value for name, value in self.__dict__.items() if name != "compiled"}

    @cached_property
    def compiled(self) -> kernels.Reservoir:
        """As the kernels read it (csrc/reservoir.h)."""
        return kernels.Reservoir(self.b.dtype, self.leak_rate, np.ascontiguousarray(self.Win.T),
                               np.ascontiguousarray(self.Wfb.T), self.b, *strips(self.W))

    def start(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The zero state (H,), and zeros for what is fed back at the first step (K,)."""
        return (np.zeros(len(self.b), self.b.dtype),
                np.zeros(self.Wfb.shape[1], self.b.dtype))

    def threads(self) -> int:
        """How many a run is worth. A program that runs reservoirs in threads of its own has its
        cores at work already."""
        alone = threading.current_thread() is threading.main_thread()
        limit = os.environ.get("OMP_NUM_THREADS", "")  # joblib's word to processes that it starts
        most = max(1, int(limit)) if limit.isdecimal() else cores()
        return most if alone and self.W.nnz >= WORTH_SHARING else 1

    def run(
        self, T: int, state: NDArray[Any], last: NDArray[Any], *, u: NDArray[Any] | None = None,
        Wout: NDArray[Any] | None = None, states: NDArray[Any] | None = None,
    ) -> Any:
        """`kernels.Reservoir.run` in blocks, so that Ctrl-C is answered."""
        steps = max(64, BLOCK // len(self.b))
        out = [np.empty((0, last.size), self.b.dtype)]
        for start in range(0, T, steps):
            part = slice(start, min(T, start + steps))
            out.append(self.compiled.run(
                part.stop - start, state, last, u=None if u is None else u[part], Wout=Wout,
                states=None if states is None else states[part], threads=self.threads()))
        return None if Wout is None else np.concatenate(out)

    def features(
        self, u: NDArray[Any], y: NDArray[Any] | None = None, warmup: int = 0
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """What a readout sees of a series, from the zero state on and behind the warm-up, in
        blocks: the first step of each, and [1; u; x] (steps, 1 + D + H) of numbers u (T, D), or
        [1; x] (steps, 1 + H) of symbols u (T,). With Wfb y (T, K) is fed back. The next block
        overwrites the one before."""
        T, H = len(u), len(self.b)
        D = 0 if u.ndim == 1 else u.shape[1]
        state, last = self.start()
        steps = min(T, max(64, BLOCK // H))
        block = np.empty((steps, 1 + D + H), self.b.dtype)
        block[:, 0] = 1
        symbols = np.eye(self.Win.shape[1], dtype=self.b.dtype) if u.ndim == 1 else None
        for start in range(0, T, steps):
            part = slice(start, min(T, start + steps))
            features = block[: part.stop - start]
            inputs = u[part] if symbols is None else symbols[u[part]]
            if D:
                features[:, 1 : 1 + D] = inputs
            self.compiled.run(len(features), state, last, u=inputs,
                             y=y[part] if y is not None and last.size else None,
                             states=features[:, 1 + D :], threads=self.threads())
            skip = max(0, warmup - start)
            if skip < len(features):
                yield start + skip, features[skip:]

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a file stores, by name: W in SciPy's CSR layout."""
        return {"Win": np.ascontiguousarray(self.Win), "Wfb": np.ascontiguousarray(self.Wfb),
                "b": self.b, "W.data": self.W.data, "W.indices": self.W.indices,
                "W.indptr": self.W.indptr}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, NDArray[Any]], leak_rate: float, units: int, inputs: int,
        fed_back: int, dtype: str,
    ) -> Reservoir:
        """The one of `tensors`, which may come from anywhere: ValueError where they do not fit."""
        if not 0 < leak_rate <= 1:
            raise ValueError(f"a leak_rate of {leak_rate}")
        W = (tensors["W.data"], tensors["W.indices"], tensors["W.indptr"])
        shapes = {"Win": (units, inputs), "Wfb": (units, fed_back), "b": (units,)}
        for name, shape in shapes.items():
            if tensors[name].shape != shape or tensors[name].dtype != dtype:
                raise ValueError(f"tensor {name} is {tensors[name].dtype} {tensors[name].shape} "
                                 f"and should be {dtype} {shape}")
        if (W[0].dtype != np.float32 or W[1].dtype.kind != "i" or W[2].dtype.kind != "i"
                or any(part.ndim != 1 for part in W)):
            raise ValueError("the tensors of W are not a CSR matrix of float32")
        matrix = csr_array(W, shape=(units, units))
        matrix.check_format(full_check=True)
        matrix.sum_duplicates()
        finite = [tensors[name] for name in shapes] + [W[0]]
        if not all(np.isfinite(array).all() for array in finite):
            raise ValueError("a reservoir's numbers must be finite")
        return cls(matrix, tensors["Win"], tensors["b"], tensors["Wfb"], leak_rate)


def draw(
    units: int, inputs: int, fed_back: int, rng: np.random.Generator, dtype: str, *,
    spectral_radius: float, leak_rate: float, input_scale: float, density: float,
    bias_scale: float,
) -> Reservoir:
    """A new one. Win and Wfb are uniform between -input_scale and input_scale, b between
    -bias_scale and bias_scale, and W has `density` of its entries, uniform numbers, scaled so that
    its largest eigenvalue has the absolute value spectral_radius.

    Raises
    ------
    ValueError
        A number outside its range, or a W whose eigenvalues are all 0.
    """
    radius = positive_float("spectral_radius", spectral_radius, zero=True)
    a, scale = finite_float("leak_rate", leak_rate), positive_float("input_scale", input_scale,
                                                                    zero=True)
    shift = positive_float("bias_scale", bias_scale, zero=True)
    share = finite_float("density", density)
    for name, value in (("leak_rate", a), ("density", share)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be above 0 and at most 1, not {value:g}")
    W = _sparse(units, share, rng)
    found = _largest_eigenvalue(W)
    if radius and found < 1e-30:
        what = "no weight at all" if not W.nnz else f"{W.nnz} weights that close no cycle"
        raise ValueError(f"a W of {units} units at density {share:g} has {what}: all its "
                         f"eigenvalues are 0, and its spectral radius cannot be {radius:g}: give a "
                         "higher density, or more units")
    W.data *= radius / found if radius else 0.0
    return Reservoir(
        W, (scale * rng.uniform(-1, 1, (units, inputs))).astype(dtype),
        (shift * rng.uniform(-1, 1, units)).astype(dtype),
        (scale * rng.uniform(-1, 1, (units, fed_back))).astype(dtype), a)


def _sparse(units: int, density: float, rng: np.random.Generator) -> csr_array:
    """Uniform numbers between -1 and 1 on pieces of random diagonals: of each panel of 64 rows the
    first row gets as many columns as the density asks for, all different, each row below has those
    of the row above, shifted by one, and rows 16, 32 and 48 have those of the first again. The
    weights themselves are independent. What a step reads then lies side by side
    (csrc/reservoir.h), and forecasts are about as good as with weights in random places;
    bench/NOTES.md has what both give."""
    S = kernels.STRIP
    panels = -(-units // S)
    counts = np.full(panels, round(density * units * panels) // panels)
    counts[: round(density * units * panels) % panels] += 1
    rng.shuffle(counts)
    columns = np.concatenate([rng.permutation(units)[:count] for count in counts])  # of each strip
    panel = np.repeat(np.arange(panels), counts)
    rows = panel[:, None] * S + np.arange(S)  # (strips, S)
    weights = rng.uniform(-1, 1, rows.shape).astype(np.float32)
    inside = rows < units
    at = (rows[inside], ((columns[:, None] + np.arange(S) % kernels.RUN) % units)[inside])
    return csr_array((weights[inside], at), shape=(units, units))


def _largest_eigenvalue(W: csr_array) -> float:
    """Its absolute value."""
    H = W.shape[0]
    if connected_components(W, connection="strong")[0] == H and not W.diagonal().any():
        return 0.0  # without a cycle; rounding would show something else
    wide = W.astype(np.float64)
    if H > DENSE:
        try:
            # ARPACK's own start is not the same in each run
            return float(abs(eigs(wide, k=1, v0=np.ones(H), ncv=min(H, 60), maxiter=100 * H,
                                  return_eigenvectors=False)[0]))
        except ArpackError:  # eigenvalues that lie too close
            pass
    return float(abs(eigvals(wide.toarray())).max())


def strips(W: csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Any W as csrc/reservoir.h has it: first, at, strips."""
    H, S = W.shape[0], kernels.STRIP
    rows = np.repeat(np.arange(H), np.diff(W.indptr))
    # the weights of a panel that lie on one diagonal, which may leave W on the right and come back
    diagonals, which = np.unique(rows // S * H + (W.indices - rows % kernels.RUN) % H,
                                 return_inverse=True)
    out = np.zeros((len(diagonals), S), np.float32)
    out[which, rows % S] = W.data
    first = np.searchsorted(diagonals, np.arange(-(-H // S) + 1) * H)
    return first.astype(np.int64), (diagonals % H).astype(np.int32), out

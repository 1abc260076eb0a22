"""Recurrent layers with random weights that are not trained."""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals
from scipy.sparse import csr_array, issparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigs

from .. import kernels
from ..files.store import expect
from ..kernels.blas import cores
from ..kernels.memory import check_memory
from ..validate import positive_float

BLOCK = 2**19  # most numbers in the states that are in memory at a time
WORTH_SHARING = 2**17  # weights of W from which on a second thread is worth its waiting
BYTES_A_WEIGHT = 40  # while W is drawn
DENSE = 100  # units up to which all eigenvalues take no longer than the largest one alone


State = tuple[NDArray[Any], NDArray[Any]]  # of the units (H,), and the last outputs (K,)
CSR = ("data", "indices", "indptr")  # the arrays of a csr_array


@dataclass
class Reservoir:
    """A layer of H units: x_t = (1 - a) x_{t-1} + a tanh(Win u_t + W x_{t-1} + b + Wfb y_{t-1}).

    Attributes
    ----------
    W : csr_array of float32, shape (H, H)
    Win : ndarray, shape (H, D)
    b : ndarray, shape (H,)
    Wfb : ndarray, shape (H, K)
        For K outputs that are fed back; K is 0 where none are.
    leak_rate : float, or ndarray of shape (H,)
        a.
    """

    W: csr_array
    Win: NDArray[Any]
    b: NDArray[Any]
    Wfb: NDArray[Any]
    leak_rate: float | NDArray[Any]

    def __post_init__(self) -> None:
        check_csr(self.W.data, self.W.indices, self.W.indptr, len(self.b))
        for array in self.tensors.values():  # the kernels have copies
            array.setflags(write=False)

    def __getstate__(self) -> dict[str, Any]:  # for copy and pickle
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    @property
    def compiled(self) -> kernels.Reservoir:
        """The reservoir in the layout of csrc/reservoir.h, made once."""
        made: kernels.Reservoir | None = self.__dict__.get("_compiled")
        if made is None:  # without a lock, which a fork would copy: two threads may make it twice
            made = self._compiled = kernels.Reservoir(
                self.b.dtype, self.leak_rate, np.ascontiguousarray(self.Win.T),
                np.ascontiguousarray(self.Wfb.T), self.b, *strips(self.W))
        return made

    def start(self) -> State:
        """The state (H,) and the outputs (K,) before the first step, zeros."""
        return np.zeros(len(self.b), self.b.dtype), np.zeros(self.Wfb.shape[1], self.b.dtype)

    def threads(self) -> int:
        """Number of threads for a run; 1 in a thread of the caller's, which keeps a core busy."""
        alone = threading.current_thread() is threading.main_thread()
        limit = os.environ.get("OMP_NUM_THREADS", "")  # joblib sets it in processes that it starts
        most = max(1, int(limit)) if limit.isdecimal() else cores()
        return most if alone and self.W.nnz >= WORTH_SHARING else 1

    def run(self, T: int, state: NDArray[Any], last: NDArray[Any], *,
            Wout: NDArray[Any] | None = None, fed: int = 0, **arrays: NDArray[Any]) -> Any:
        """`kernels.Reservoir.run` in blocks of steps, so that Ctrl-C is answered. `arrays` are u
        (T, D - fed), y (T, K) and states (T, H)."""
        steps = max(64, BLOCK // len(self.b))
        out = [np.empty((0, last.size), self.b.dtype)]
        for start in range(0, T, steps):
            stop = min(T, start + steps)
            block = {name: array[start:stop] for name, array in arrays.items()}
            out.append(self.compiled.run(stop - start, state, last, Wout=Wout, fed=fed, **block,
                                         threads=self.threads()))
        return None if Wout is None else np.concatenate(out)

    def features(self, u: NDArray[Any], y: NDArray[Any] | None = None, warmup: int = 0,
                 centre: NDArray[Any] | float = 0.0, begin: State | None = None,
                 noise: "Noise | None" = None) -> Iterator[tuple[int, NDArray[Any]]]:
        """The features of a readout after the warm-up, in blocks: the number of a block's first
        step, and [1; u - centre; x] (steps, 1 + D + H) for numbers u (T, D), or [1; x] (steps,
        1 + H) for symbols u (T,). y (T, K) are the outputs that are fed back. Each block overwrites
        the last. `begin` is where the series begins, by default `start()`, and in the end where it
        stands. With a centre of no numbers the features are [1; x]."""
        T, H = len(u), len(self.b)
        D = u.shape[1] if u.ndim > 1 and np.size(centre) else 0
        state, last = self.start() if begin is None else begin
        steps = min(T, max(64, BLOCK // H))
        block = np.ones((steps, 1 + D + H), self.b.dtype)
        symbols = np.eye(self.Win.shape[1], dtype=self.b.dtype) if u.ndim == 1 else None
        for start in range(0, T, steps):
            part = slice(start, min(T, start + steps))
            features = block[: part.stop - start]
            inputs = u[part] if symbols is None else symbols[u[part]]
            if D:
                np.subtract(inputs, centre, out=features[:, 1 : 1 + D])
            self.compiled.run(len(features), state, last, u=inputs,
                             noise=noise.of_states(features[:, 1 + D :]) if noise else None,
                             y=y[part] if y is not None and last.size else None,
                             states=features[:, 1 + D :], threads=self.threads())
            skip = max(0, warmup - start)
            if skip < len(features):
                yield start + skip, features[skip:]

    @property
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The arrays that a file stores, by name; W in SciPy's CSR layout."""
        return {"Win": np.ascontiguousarray(self.Win), "Wfb": np.ascontiguousarray(self.Wfb),
                "b": self.b} | {f"W.{part}": getattr(self.W, part) for part in CSR}

    @classmethod
    def from_tensors(
        cls, tensors: dict[str, NDArray[Any]], leak_rate: float | NDArray[Any], units: int,
        inputs: int, fed_back: int, dtype: str,
    ) -> "Reservoir":
        """The reservoir stored in `tensors`; ValueError or KeyError where they are not one."""
        rates = np.ravel(leak_rate)
        if not ((rates > 0) & (rates <= 1)).all() or rates.size not in (1, units):
            raise ValueError(f"a leak_rate of {leak_rate}")
        for name, shape in ("Win", (units, inputs)), ("Wfb", (units, fed_back)), ("b", (units,)):
            expect(tensors, name, shape, dtype)
        parts = data, indices, indptr = [tensors[f"W.{part}"] for part in CSR]
        check_csr(data, indices, indptr, units)
        W = csr_array(tuple(parts), shape=(units, units))
        W.sum_duplicates()
        out = cls(W, tensors["Win"], tensors["b"], tensors["Wfb"], leak_rate)
        if not all(np.isfinite(array).all() for array in out.tensors.values()):
            raise ValueError("a reservoir's numbers must be finite")
        return out


class Noise:
    """Normal noise that a fit adds to states and to what is fed back; the same for the same seed,
    in however many blocks a series is read."""

    def __init__(self, params: dict[str, Any], seed: int) -> None:
        self._sizes = params["noise"], params["feedback_noise"]
        self._rngs = [np.random.default_rng([seed, i]) for i in range(2)]

    def of_states(self, like: NDArray[Any]) -> NDArray[Any] | None:
        """What is added inside the tanh, with the shape and dtype of the states (T, H)."""
        size, rng = self._sizes[0], self._rngs[0]
        return (size * rng.standard_normal(like.shape)).astype(like.dtype) if size else None

    def of_feedback(self, y: NDArray[Any]) -> NDArray[Any]:
        """The outputs (T, K) that are fed back, with noise."""
        size, rng = self._sizes[1], self._rngs[1]
        return (y + size * rng.standard_normal(y.shape)).astype(y.dtype) if size else y


def check_csr(data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any],
              units: int) -> None:
    """Raise ValueError unless these are the arrays of a CSR matrix of float32 with as many rows and
    columns as there are units. SciPy checks less, and its functions trust what they are given."""
    integers = (np.int32, np.int64)
    if (data.dtype != np.float32 or indices.dtype not in integers or indptr.dtype not in integers
            or data.ndim != 1 or indices.shape != data.shape or indptr.shape != (units + 1,)):
        raise ValueError("the tensors of W have not the types and sizes of a CSR matrix of float32")
    if indptr[0] != 0 or indptr[-1] != len(data) or (indptr[1:] < indptr[:-1]).any():
        raise ValueError("the rows of W do not lie one after another: W.indptr must begin with 0, "
                         "never fall, and end with the number of weights")
    if ((indices < 0) | (indices >= units)).any():
        raise ValueError(f"W.indices must be columns from 0 to {units - 1}")


def draw(
    units: int, inputs: int, fed_back: int, rng: np.random.Generator, dtype: str, *,
    spectral_radius: float, leak_rate: float | NDArray[Any], input_scale: float | NDArray[Any],
    density: float, bias_scale: float, given: Mapping[str, Any] = MappingProxyType({}),
) -> "Reservoir":
    """A random reservoir. Win and Wfb are uniform between -input_scale and input_scale, b between
    -bias_scale and bias_scale; W has the fraction `density` of its entries, uniform numbers scaled
    so that its largest absolute eigenvalue is spectral_radius. leak_rate may be (units,), and
    input_scale (inputs + fed_back,). Weights that are `given`, by name, are not drawn.

    Raises
    ------
    ValueError
        A number outside its range, given weights of another shape, or a W whose eigenvalues are
        all 0.
    """
    positive_float("spectral_radius", spectral_radius, zero=True)
    positive_float("bias_scale", bias_scale, zero=True)
    for one in np.ravel(input_scale):
        positive_float("input_scale", one, zero=True)
    for name, value in (("leak_rate", leak_rate), ("density", density)):
        for one in np.ravel(value):
            if not 0 < one <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {one:g}")
    weights = units * (units * density * (given.get("W") is None) + inputs + fed_back)
    check_memory(BYTES_A_WEIGHT * weights, f"a reservoir of {units:,} units at density {density:g}",
                 "fewer units or a smaller density")
    W = given.get("W")
    W = _recurrent(units, density, spectral_radius, rng) if W is None else _as_csr(W)
    units = W.shape[0]
    for name, value, size in (("leak_rate", leak_rate, units),
                              ("input_scale", input_scale, inputs + fed_back)):
        if np.ndim(value) and len(np.ravel(value)) != size:
            raise ValueError(f"{name} has {len(np.ravel(value))} numbers and must be one number, "
                             f"or {size}: one for each "
                             + ("unit" if name == "leak_rate" else "input and fed-back output"))
    scales = np.broadcast_to(input_scale, inputs + fed_back)

    def uniform(name: str, scale: float | NDArray[Any], *shape: int) -> NDArray[Any]:
        if given.get(name) is None:
            return (scale * rng.uniform(-1, 1, shape)).astype(dtype)
        array = given[name].toarray() if issparse(given[name]) else given[name]
        if array.shape != shape:
            raise ValueError(f"{name} has the shape {array.shape} and must have {shape}: "
                             f"{units} units, {inputs} inputs"
                             + (f" and {fed_back} fed-back outputs" if fed_back else ""))
        return np.array(array, dtype)

    if given.get("Wfb") is not None and not fed_back:
        raise ValueError("Wfb is for a network with feedback=True: leave it out")
    return Reservoir(W, uniform("Win", scales[:inputs], units, inputs),
                     uniform("bias", bias_scale, units),
                     uniform("Wfb", scales[inputs:], units, fed_back), leak_rate)


def _recurrent(units: int, density: float, spectral_radius: float,
               rng: np.random.Generator) -> csr_array:
    """Random recurrent weights of this spectral radius."""
    W = _sparse(units, density, rng)
    found = _largest_eigenvalue(W)
    if spectral_radius and found < 1e-30:
        what = "no weight at all" if not W.nnz else f"{W.nnz} weights that close no cycle"
        raise ValueError(f"a W of {units} units at density {density:g} has {what}: all its "
                         "eigenvalues are 0, and its spectral radius cannot be "
                         f"{spectral_radius:g}: give a higher density, or more units")
    W.data *= spectral_radius / found if spectral_radius else 0.0
    return W


def _as_csr(W: Any) -> csr_array:
    """Given recurrent weights as a matrix of its own, of float32."""
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not W.shape[0]:
        raise ValueError(f"W has the shape {W.shape} and must have as many rows as columns")
    own = csr_array(W, copy=True)
    own.sum_duplicates()
    with np.errstate(over="ignore"):
        own = own.astype(np.float32)
    if not np.isfinite(own.data).all():
        raise ValueError("W has numbers beyond float32")
    return own


def _sparse(units: int, density: float, rng: np.random.Generator) -> csr_array:
    """A matrix of independent uniform weights between -1 and 1 on pieces of random diagonals: in
    each panel of 64 rows, row 0 gets random distinct columns, each row below has the columns of the
    row above, shifted by one, and rows 16, 32 and 48 start anew with those of row 0. A step then
    reads neighbours (csrc/reservoir.h); forecasts are about as good as with weights in random
    places (bench/NOTES.md)."""
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
    """The largest absolute value of an eigenvalue."""
    H = W.shape[0]
    if connected_components(W, connection="strong")[0] == H and not W.diagonal().any():
        return 0.0  # no cycle; rounding would give another number
    wide = W.astype(np.float64)
    if H > DENSE:
        try:
            # v0, because ARPACK's own start differs from run to run
            return float(abs(eigs(wide, k=1, v0=np.ones(H), ncv=min(H, 60), maxiter=100 * H,
                                  return_eigenvectors=False)[0]))
        except ArpackError:  # eigenvalues that lie too close
            pass
    return float(abs(eigvals(wide.toarray())).max())


def strips(W: csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """The arrays first, at and strips of csrc/reservoir.h for any W."""
    H, S = W.shape[0], kernels.STRIP
    rows = np.repeat(np.arange(H), np.diff(W.indptr))
    # the weights of a panel on one diagonal, which wraps around at the right edge of W
    diagonals, which = np.unique(rows // S * H + (W.indices - rows % kernels.RUN) % H,
                                 return_inverse=True)
    check_memory(8 * S * len(diagonals), f"a reservoir with {W.nnz} weights in random places",
                 "a smaller one")  # beside the copy that the kernel makes
    out = np.zeros((len(diagonals), S), np.float32)
    out[which, rows % S] = W.data
    first = np.searchsorted(diagonals, np.arange(-(-H // S) + 1) * H)
    return first.astype(np.int64), (diagonals % H).astype(np.int32), out

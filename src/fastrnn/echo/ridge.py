"""Ridge regression on rows that are given block by block."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve, eigh

from ..kernels.memory import check_memory

Array = NDArray[Any]
Block = tuple[Array, Array, Array | None]  # features, targets and weights of some rows
EPS = float(np.finfo(np.float64).eps)
A_DECADE = 3  # candidates for a ridge from one power of ten to the next
KNOWN = 1e-8  # least 1 - leverage of a row whose error without it is more than rounding


class Ridge:
    """Y = F W^T for features F (n, M), the first of which is the constant 1, and targets Y (n, K),
    n being any number.

    W is the least of sum_t w_t |y_t - W f_t|^2 + ridge |W without its first column|^2, with the
    weight w_t of each row: ridge regression with an intercept, which is not penalized (Hastie,
    Tibshirani and Friedman, "The Elements of Statistical Learning", section 3.4.1). A target that
    is NaN is left out: each output is fitted on the rows where it is known. All that is kept are
    sums over rows, in float64 whatever the dtype of the rows, so that rows may be added after
    `solve` too.

    Parameters
    ----------
    M, K : int
    centre : ndarray, shape (D,), optional
        Numbers that were subtracted from features 1 to D, so that their squares are no larger than
        need be; the W of `solve` is for the features as they were.
    """

    def __init__(self, M: int, K: int, centre: Array | None = None) -> None:
        self.centre = np.zeros(0) if centre is None else np.asarray(centre, np.float64)
        self._shift = np.full(K, np.nan)  # subtracted from the targets
        self._whole = Sums(M, K)  # over the rows whose targets are all known
        self._parts: dict[int, Sums] = {}  # output -> over those where it is known and another not

    def add(self, F: Array, Y: Array, weights: Array | None = None) -> None:
        """Add rows F (n, M) and Y (n, K), in which NaN stands for unknown, with their weights (n,)
        to the sums."""
        known = _known(Y, weights)
        for k in np.flatnonzero(np.isnan(self._shift)).tolist():
            if known[:, k].any():
                self._shift[k] = Y[known[:, k], k].mean(dtype=np.float64)
        if known.all():  # most often
            self._whole.add(F, Y - self._shift, weights)
            return
        complete = np.logical_and.reduce(known, axis=1)
        self._whole.add(*_rows(complete, F, Y - self._shift, weights))
        for k in range(Y.shape[1]):
            rows = known[:, k] & ~complete
            if rows.any():
                part = self._parts.setdefault(k, Sums(F.shape[1], 1))
                part.add(*_rows(rows, F, Y[:, k : k + 1] - self._shift[k], weights))

    def solve(self, ridge: float) -> NDArray[np.float64]:
        """W (K, M).

        Raises
        ------
        ValueError
            An output without a known target, features that do not determine W, or squares that
            overflow.
        """
        W = np.empty((len(self._shift), len(self._whole.squares)))
        for outputs, sums in self._by_outputs():
            W[outputs] = sums.solve(ridge)
        W[:, 0] += self._shift - W[:, 1 : 1 + len(self.centre)] @ self.centre
        return W

    def choose(self, blocks: Iterable[Block]) -> float:
        """The ridge with the least error of leave-one-out: each row is predicted by the regression
        on all others, and the squared errors of an output, with the rows' weights, are divided by
        those about its mean and averaged over the outputs. Candidates are three to a decade, from
        where rounding hides them to ten times the largest eigenvalue of the sums.

        No regression is repeated: with e_t the error of row t and h_t its leverage in the
        regression on all rows, its error in that on all others is e_t / (1 - h_t) (PRESS; Allen
        1974). In the eigenvectors of the sums e and h of every ridge are two matrix products.

        Parameters
        ----------
        blocks : iterable of (F, Y, weights)
            All rows that were added, once more.
        """
        spectra = [(outputs, Spectrum(sums)) for outputs, sums in self._by_outputs()]
        largest = max(float(one.values.max(initial=0.0)) for _, one in spectra)
        if largest == 0:  # no feature moves
            return 1.0
        ends = np.log10([EPS * largest, 10 * largest]) * A_DECADE
        ridges = 10.0 ** (np.arange(np.ceil(ends[0]), ends[1]) / A_DECADE)
        total = np.zeros(len(ridges))
        for F, Y, weights in blocks:
            for outputs, one in spectra:
                rows = np.logical_and.reduce(_known(Y[:, outputs], weights), axis=1)
                total += one.errors(*_rows(rows, F, Y[:, outputs] - self._shift[outputs], weights),
                                    ridges)
        # where it is flat, the largest
        return float(ridges[total <= (1 + 1e-6) * total.min()][-1])

    def _by_outputs(self) -> Iterator[tuple[list[int], "Sums"]]:
        """The outputs that are known in the same rows, with the sums over these rows. ValueError
        where one is never known."""
        if np.isnan(self._shift).any():
            raise ValueError(f"output {int(np.isnan(self._shift).argmax())} has no known target "
                             "behind the warm-up: give those of at least one step, or leave this "
                             "output out")
        common = [k for k in range(len(self._shift)) if k not in self._parts]
        if common:
            yield common, self._whole.of(common)
        for k, part in self._parts.items():
            yield [k], self._whole.of([k]).plus(part)


class Sums:
    """Sums over rows f (M,) and y (K,) with weights w: of w f f^T, w f y^T and w y^2."""

    def __init__(self, M: int, K: int) -> None:
        check_memory(8 * M * M, f"the sums of {M:,} features", "fewer units")
        self.squares = np.zeros((M, M), order="F")  # the lower triangle
        self.products = np.zeros((M, K))
        self.targets = np.zeros(K)

    def add(self, F: Array, Y: Array, weights: Array | None) -> None:
        if not len(F):
            return
        F = np.ascontiguousarray(F, np.float64)
        if weights is not None:
            root = np.sqrt(weights, dtype=np.float64)[:, None]
            F, Y = F * root, Y * root
        blas.dsyrk(1.0, F.T, beta=1.0, c=self.squares, lower=1, overwrite_c=1)
        self.products += F.T @ Y
        with np.errstate(over="ignore"):  # see check()
            self.targets += (Y * Y).sum(axis=0)

    def of(self, outputs: list[int]) -> "Sums":
        """The sums of these outputs alone; the squares are not copied."""
        new = object.__new__(Sums)
        new.squares, new.products = self.squares, self.products[:, outputs]
        new.targets = self.targets[outputs]
        return new

    def plus(self, other: "Sums") -> "Sums":
        new = object.__new__(Sums)
        new.squares = self.squares + other.squares
        new.products, new.targets = self.products + other.products, self.targets + other.targets
        return new

    def check(self) -> None:
        """Raise ValueError where the sums overflowed."""
        if not all(np.isfinite(part).all() for part in (self.squares.diagonal(), self.targets)):
            raise ValueError("the squares of inputs or targets are beyond all numbers: scale them "
                             "to about 1")

    def solve(self, ridge: float) -> NDArray[np.float64]:
        """The weights (K, M) of the regression."""
        squares = self.squares.copy(order="F")
        np.einsum("ii->i", squares)[1:] += ridge  # a view of the diagonal
        diagonal = squares.diagonal().copy()  # cho_factor overwrites it
        self.check()
        try:
            factor = cho_factor(squares, lower=True, overwrite_a=True)
            W = cho_solve(factor, self.products).T
            # what of a feature's squares those before it do not explain
            left = factor[0].diagonal() ** 2 / diagonal
            lost = (left < len(diagonal) * EPS) & (ridge < EPS * diagonal)
        except (LinAlgError, ValueError):  # ValueError: products that overflowed
            lost = np.ones(1, bool)
        if lost.any() or not np.isfinite(W).all():
            larger = max(10 * ridge, 1e-12 * diagonal.max())
            raise ValueError(f"ridge={ridge:g} is too small: the features are linearly dependent "
                             f"to the last digit; give a larger one, such as {larger:.0e}")
        return np.ascontiguousarray(W)


class Spectrum:
    """Sums about the means of the rows, in the eigenvectors of those of the features."""

    def __init__(self, sums: Sums) -> None:
        sums.check()
        self.n = sums.squares[0, 0]  # sum of the weights
        self.mean, self.target = sums.squares[1:, 0] / self.n, sums.products[0] / self.n
        about = sums.squares[1:, 1:] - self.n * np.outer(self.mean, self.mean)
        values, self.vectors = eigh(about, lower=True, overwrite_a=True)
        self.values = np.maximum(values, 0)
        self.products = self.vectors.T @ (sums.products[1:] - np.outer(self.mean, sums.products[0]))
        self.spread = sums.targets - self.n * self.target**2

    def errors(self, F: Array, Y: Array, weights: Array | None,
               ridges: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each ridge the squared errors of these rows in the regressions without them, as
        fractions of the spread of the targets, summed over rows and outputs."""
        z = (F[:, 1:] - self.mean) @ self.vectors
        inverse = 1 / (self.values[:, None] + ridges)  # (M - 1, ridges)
        w = np.ones((len(F), 1)) if weights is None else weights[:, None]
        left = 1 - w * (1 / self.n + (z * z) @ inverse)  # 1 - leverage
        total = np.zeros(len(ridges))
        for k in np.flatnonzero(self.spread > 0):
            error = Y[:, k : k + 1] - self.target[k] - z @ (self.products[:, k : k + 1] * inverse)
            press = np.where(left > KNOWN, w * (error / np.maximum(left, KNOWN)) ** 2, np.inf)
            total += press.sum(axis=0) / self.spread[k]
        return total


def _known(Y: Array, weights: Array | None) -> NDArray[np.bool_]:
    """Which targets (n, K) are fitted: those that are not NaN, of rows whose weight is not 0."""
    known: NDArray[np.bool_] = ~np.isnan(Y)
    return known if weights is None else known & (weights > 0)[:, None]


def _rows(which: NDArray[np.bool_], F: Array, Y: Array, weights: Array | None) -> Block:
    """Some of the rows, without a copy where it is all of them."""
    if which.all():
        return F, Y, weights
    return F[which], Y[which], None if weights is None else weights[which]

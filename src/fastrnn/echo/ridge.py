"""Ridge regression on rows that are given block by block."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve, eigh

from ..kernels.memory import check_memory

Array = NDArray[Any]
EPS = float(np.finfo(np.float64).eps)
A_DECADE = 3  # candidates for a ridge from one power of ten to the next
FOLDS = 5  # least number of folds; fewer only of fewer rows


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
    folded : bool
        Whether sums are kept for `choose`: FOLDS to 2 FOLDS matrices (M, M) in place of one.
    """

    def __init__(self, M: int, K: int, centre: Array | None = None, folded: bool = False) -> None:
        check_memory(8 * M * M * (2 * FOLDS if folded else 1), f"the sums of {M:,} features",
                     "fewer units" + ", or a number as ridge" * folded)
        self.centre = np.zeros(0) if centre is None else np.asarray(centre, np.float64)
        self._shift = np.full(K, np.nan)  # subtracted from the targets
        self._folds = [Fold(M, K)]
        self._most: float = 1 if folded else np.inf  # rows in a fold

    @property
    def determined(self) -> bool:
        """Whether each output has a known target."""
        return not np.isnan(self._shift).any()

    def add(self, F: Array, Y: Array, weights: Array | None = None) -> None:
        """Add rows F (n, M) and Y (n, K), in which NaN stands for unknown, with their weights (n,)
        to the sums."""
        known = ~np.isnan(Y)
        if weights is not None:
            known &= (weights > 0)[:, None]
        for k in np.flatnonzero(np.isnan(self._shift)).tolist():
            if known[:, k].any():
                self._shift[k] = Y[known[:, k], k].mean(dtype=np.float64)
        start = 0
        while start < len(F):
            fold = self._last()
            stop = int(min(len(F), start + self._most - fold.rows))
            part = slice(start, stop)
            fold.add(F[part], Y[part] - self._shift, known[part],
                     None if weights is None else weights[part])
            start = stop

    def _last(self) -> "Fold":
        """The fold of the next row. Where there would be too many, each two become one: the folds
        depend on the number of rows alone, not on the blocks in which they come."""
        folds = self._folds
        if folds[-1].rows == self._most:
            if len(folds) == 2 * FOLDS:
                self._folds = folds = [a.plus(b) for a, b in zip(folds[::2], folds[1::2],
                                                                 strict=True)]
                self._most *= 2
            folds.append(Fold(len(folds[0].whole.squares), len(self._shift)))
        return folds[-1]

    def solve(self, ridge: float) -> NDArray[np.float64]:
        """W (K, M).

        Raises
        ------
        ValueError
            An output without a known target, features that do not determine W, or squares that
            overflow.
        """
        W = np.empty((len(self._shift), len(self._folds[0].whole.squares)))
        for outputs, folds in self._by_outputs():
            W[outputs] = total(folds).solve(ridge)
        W[:, 0] += self._shift - W[:, 1 : 1 + len(self.centre)] @ self.centre
        return W

    def choose(self) -> float:
        """The ridge with the least error of cross-validation over time: each fold, a block of
        neighbouring rows, is predicted by the regression on all others, and the squared errors of
        an output, with the rows' weights, are divided by those about its mean and averaged over the
        outputs. Candidates are three to a decade, from where rounding hides them to ten times the
        sum of the squares of the features about their means.

        Neighbours are alike: a row that is left out alone is predicted too well by those beside it,
        and the ridge comes out too small (Hart and Wehrly 1986; measured in bench/NOTES.md).
        """
        groups = [(folds, total(folds)) for _, folds in self._by_outputs()]
        squares = max(float(sums.squares.diagonal()[1:].sum()) for _, sums in groups)
        moving = max(float(sums.about()[0].trace()) for _, sums in groups)
        if not EPS * squares < 10 * moving:  # no feature moves
            return 1.0
        ends = np.log10([EPS * squares, 10 * moving]) * A_DECADE
        ridges = 10.0 ** (np.arange(np.ceil(ends[0]), ends[1]) / A_DECADE)
        errors = sum(_left_out(folds, sums, ridges) for folds, sums in groups)
        errors = np.maximum(errors, EPS * len(groups[0][1].squares))  # below is rounding
        return float(ridges[errors <= (1 + 1e-6) * errors.min()][-1])  # where flat, the largest

    def _by_outputs(self) -> Iterator[tuple[list[int], "list[Sums]"]]:
        """The outputs that are known in the same rows, with the sums of each fold over these rows.
        ValueError where one is never known."""
        if not self.determined:
            raise ValueError(f"output {int(np.isnan(self._shift).argmax())} has no known target "
                             "behind the warm-up: give those of at least one step, or leave this "
                             "output out")
        apart = {k for fold in self._folds for k in fold.parts}
        common = [k for k in range(len(self._shift)) if k not in apart]
        for outputs in [common] * bool(common) + [[k] for k in sorted(apart)]:
            yield outputs, [fold.of(outputs) for fold in self._folds]


class Fold:
    """The sums over neighbouring rows."""

    def __init__(self, M: int, K: int) -> None:
        self.rows = 0
        self.whole = Sums(M, K)  # over the rows whose targets are all known
        self.parts: dict[int, Sums] = {}  # output -> over those where it is known and another not

    def add(self, F: Array, Y: Array, known: Array, weights: Array | None) -> None:
        """Add rows whose targets are `known` (n, K) or are left out."""
        self.rows += len(F)
        if known.all():  # most often
            self.whole.add(F, Y, weights)
            return
        complete = np.logical_and.reduce(known, axis=1)
        self.whole.add(*_rows(complete, F, Y, weights))
        for k in range(Y.shape[1]):
            rows = known[:, k] & ~complete
            if rows.any():
                part = self.parts.setdefault(k, Sums(F.shape[1], 1))
                part.add(*_rows(rows, F, Y[:, k : k + 1], weights))

    def of(self, outputs: list[int]) -> "Sums":
        """The sums of these outputs, which are known in the same rows."""
        sums, part = self.whole.of(outputs), self.parts.get(outputs[0])
        return sums if part is None else total([sums, part])

    def plus(self, other: "Fold") -> "Fold":
        """This fold and another as one; this one is changed."""
        self.rows += other.rows
        self.whole.join(other.whole)
        for k, part in other.parts.items():
            self.parts.setdefault(k, Sums(len(part.squares), 1)).join(part)
        return self


class Sums:
    """Sums over rows f (M,) and y (K,) with weights w: of w f f^T, w f y^T and w y^2."""

    def __init__(self, M: int, K: int) -> None:
        self.squares = np.zeros((M, M), order="F")  # the lower triangle
        self.products = np.zeros((M, K))
        self.targets = np.zeros(K)

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return float(self.squares[0, 0])

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

    def join(self, other: "Sums") -> None:
        """Add the sums over other rows."""
        with np.errstate(over="ignore", invalid="ignore"):  # see check()
            self.squares += other.squares
            self.products += other.products
            self.targets += other.targets

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

    def about(self) -> tuple[Array, Array, Array]:
        """Squares (M - 1, M - 1), products (M - 1, K) and squared targets (K,) about the means."""
        self.check()
        mean = self.squares[1:, 0] / self.weight
        return (self.squares[1:, 1:] - self.weight * np.outer(mean, mean),
                self.products[1:] - np.outer(mean, self.products[0]),
                self.targets - self.products[0] ** 2 / self.weight)

    def path(self, ridges: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """Of each output the weights (M, ridges) of the regression with each ridge, all from one
        eigendecomposition."""
        squares, products, _ = self.about()
        values, vectors = eigh(squares, lower=True, overwrite_a=True)
        inverse = 1 / (np.maximum(values, 0)[:, None] + ridges)  # (M - 1, ridges)
        for k, product in enumerate(products.T):
            W = vectors @ ((vectors.T @ product)[:, None] * inverse)
            first = (self.products[0, k] - self.squares[1:, 0] @ W) / self.weight
            yield np.vstack([first, W])

    def errors(self, path: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The squared errors (K, ridges) at these rows, with the weights of a `path`."""
        squares = self.squares + np.tril(self.squares, -1).T
        return np.stack([y - 2 * p @ W + ((squares @ W) * W).sum(axis=0)
                         for y, p, W in zip(self.targets, self.products.T, path, strict=True)])


def _left_out(folds: list[Sums], whole: Sums, ridges: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each ridge the squared errors of each fold in the regression on the others, as fractions
    of the spread of an output over the whole, summed over folds and outputs."""
    spread = whole.about()[2]
    errors = np.zeros((len(spread), len(ridges)))
    for i, fold in enumerate(folds):
        others = folds[:i] + folds[i + 1 :]
        if fold.weight and any(other.weight for other in others):
            errors += fold.errors(total(others).path(ridges))
    found: NDArray[np.float64] = (errors[spread > 0] / spread[spread > 0, None]).sum(axis=0)
    return found


def total(parts: list[Sums]) -> Sums:
    """The sums over the rows of all parts."""
    if len(parts) == 1:
        return parts[0]
    new = parts[0].of(list(range(len(parts[0].targets))))
    new.squares, new.products = parts[0].squares.copy(order="F"), new.products.copy()
    new.targets = new.targets.copy()
    for part in parts[1:]:
        new.join(part)
    return new


def _rows(which: NDArray[np.bool_], F: Array, Y: Array, weights: Array | None) -> tuple[
        Array, Array, Array | None]:
    """Some of the rows, without a copy where it is all of them."""
    if which.all():
        return F, Y, weights
    return F[which], Y[which], None if weights is None else weights[which]

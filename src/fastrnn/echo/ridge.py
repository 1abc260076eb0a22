"""Ridge regression on rows that are given block by block."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve


class Ridge:
    """Y = F W^T for features F (n, M) and targets Y (n, K), n being any number.

    W^T = (F^T F + ridge I)^-1 F^T Y, the least of |Y - F W^T|^2 + ridge |W|^2 (Lukosevicius 2012,
    "A practical guide to applying echo state networks", equation 9). The weight of the constant is
    penalized too, so targets far from 0 need a small ridge, or their mean subtracted. The sums are
    float64, whatever the dtype of the rows.
    """

    def __init__(self, M: int, K: int) -> None:
        self._squares = np.zeros((M, M), order="F")  # F^T F, its lower triangle
        self._products = np.zeros((M, K))  # F^T Y

    def add(self, F: NDArray[Any], Y: NDArray[Any]) -> None:
        """Add rows F (n, M) and Y (n, K) to the sums."""
        F = np.ascontiguousarray(F, np.float64)
        blas.dsyrk(1.0, F.T, beta=1.0, c=self._squares, lower=1, overwrite_c=1)
        self._products += F.T @ Y

    def solve(self, ridge: float) -> NDArray[np.float64]:
        """W (K, M).

        Raises
        ------
        ValueError
            The features do not determine W, or their squares overflow.
        """
        squares = self._squares.copy(order="F")
        squares[np.diag_indices(len(squares))] += ridge
        largest = squares.diagonal().max()  # cho_factor overwrites it
        if not np.isfinite(largest):
            raise ValueError("the squares of inputs or targets are beyond all numbers: scale them "
                             "to about 1")
        try:
            W = cho_solve(cho_factor(squares, lower=True, overwrite_a=True), self._products).T
        except (LinAlgError, ValueError):  # ValueError: products that overflowed
            W = np.full(1, np.nan)
        if not np.isfinite(W).all():
            raise ValueError(f"ridge={ridge:g} is too small: the features are linearly "
                             "dependent to the last digit; give a larger one, such as "
                             f"{max(10 * ridge, 1e-12 * largest):.0e}")
        return np.ascontiguousarray(W)

"""Losses: numbers with a backward pass."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from ..validate import float_array, weights_of, whole_numbers
from .layer import Array, Pass


def _checked(name: str, value: ArrayLike, mask: ArrayLike | None) -> tuple[Array, Array]:
    """An array (N, T, M) and the weight of each step in the loss (N, T)."""
    array = float_array(name, value, (...,))
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must be (N, T, M), not {array.shape}")
    shape = array.shape[:-1]
    return array, (np.ones(shape, array.dtype) if mask is None
                   else float_array("mask", mask, shape, array.dtype))


class SoftmaxCrossEntropy(Pass):
    """-log softmax(scores)[label], summed over time and averaged over the batch, in nats.

    Parameters
    ----------
    class_weights : array_like, shape (M,), optional
        The weight, 0 or more, of each label: losses are multiplied by it, and divided by its mean
        over the steps that count. So the loss of one step is that of PyTorch's
        ``CrossEntropyLoss(weight=class_weights)``, sum(weight loss) / sum(weight).
    """

    def __init__(self, class_weights: ArrayLike | None = None) -> None:
        self.class_weights = None if class_weights is None else weights_of(
            "class_weights", class_weights, (np.size(class_weights),))

    def forward(self, scores: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> float:
        """The loss.

        Parameters
        ----------
        scores : array_like, shape (N, T, M)
            float32 or float64. (N, M) is taken for one step.
        labels : array_like of int, shape (N, T)
            Below M.
        mask : array_like, shape (N, T), optional
            0 or False where a step does not count; other numbers are its weight.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), or a label that is not a whole number from 0
            to M - 1 (with its place).
        """
        scores, weights = _checked("scores", scores, mask)
        at = whole_numbers("labels", labels, scores.shape[-1], scores.shape[:-1])[..., None]
        if self.class_weights is not None:
            weights = self._weighted(weights, at[..., 0], scores.shape[-1])
        log_p = log_softmax(scores, axis=-1)
        self._own.seen = log_p, at, weights / len(scores)
        picked = np.take_along_axis(log_p, at, -1)[..., 0]
        return float(-(picked * weights).sum(dtype=np.float64) / len(scores))

    def _weighted(self, weights: Array, labels: Array, M: int) -> Array:
        """The weight of each step, times that of its label over their mean."""
        assert self.class_weights is not None
        if len(self.class_weights) != M:
            raise ValueError(f"class_weights has {len(self.class_weights)} weights, and the scores "
                             f"{M} columns: give one for each")
        each = weights * self.class_weights[labels]
        total = each.sum(dtype=np.float64)
        factor = weights.sum(dtype=np.float64) / total if total > 0 else 0.0
        return (each * factor).astype(weights.dtype)

    def backward(self) -> Array:
        """The gradient with respect to the scores: (softmax - one-hot label) mask / N."""
        log_p, at, weights = self._last()
        d: Array = np.exp(log_p)
        np.put_along_axis(d, at, np.take_along_axis(d, at, -1) - 1, -1)
        d *= weights[..., None]
        return d


class MeanSquaredError(Pass):
    """(y - target)^2, averaged over all entries that count."""

    def forward(self, y: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None) -> float:
        """The loss.

        Parameters
        ----------
        y, targets : array_like, shape (N, T, M)
            float32 or float64.
        mask : array_like, shape (N, T), optional
            0 or False where a step does not count; other numbers are its weight.

        Raises
        ------
        ValueError, TypeError
            Shapes that do not fit (both are named), or a mask that hides every step.
        """
        y, weights = _checked("y", y, mask)
        difference = y - float_array("targets", targets, y.shape, y.dtype)
        count = weights.sum(dtype=np.float64) * y.shape[-1]
        if count == 0:
            raise ValueError("mask hides every step: leave at least one")
        self._own.seen = difference, weights / count
        return float((difference**2 * weights[..., None]).sum(dtype=np.float64) / count)

    def backward(self) -> Array:
        """The gradient with respect to y: 2 (y - target) / entries that count."""
        difference, weights = self._last()
        d: Array = 2 * difference * weights.astype(difference.dtype)[..., None]
        return d

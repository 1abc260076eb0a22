"""Labels of records: their probabilities are inputs of the first layer at every step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..validate import positive_float, suggestion


def probabilities(
    names: Sequence[str] | None, labels: Any, N: int, dtype: np.dtype[Any]
) -> NDArray[Any] | None:
    """The probabilities (N, C) of a model's C labels for N rows; None for a model without labels.

    `labels` is a str, a dict of label -> weight (weights are divided by their sum), or a sequence
    of N of these."""
    if names is None:
        if labels is not None:
            raise ValueError("this model was trained without labels: leave label out")
        return None
    if labels is None:
        raise ValueError(f"this model needs a label: {', '.join(map(repr, names))}, or a "
                         "mixture of them")
    one = isinstance(labels, str | Mapping) or not isinstance(labels, Iterable)
    each = [labels] * N if one else list(labels)
    if len(each) != N:
        raise ValueError(f"{len(each)} labels for {N} rows: give one for each, or one for all")
    weights = np.zeros((N, len(names)))
    for row, label in zip(weights, each, strict=True):
        _fill(row, names, label)
    return weights.astype(dtype)


def _fill(row: NDArray[np.float64], names: Sequence[str], label: Any) -> None:
    """Write the probabilities (C,) of a label or a mixture into row."""
    if not isinstance(label, str | Mapping):
        raise TypeError(f"a label must be a str, or a dict of label -> weight, not {label!r}")
    for name, weight in (label if isinstance(label, Mapping) else {label: 1.0}).items():
        if name not in names:
            hint = suggestion(name, names)
            raise ValueError(f"label {name!r} never came in training: the known ones are "
                             f"{', '.join(map(repr, names))}{hint and '; '}{hint}")
        row[names.index(name)] = positive_float("a label's weight", weight, zero=True)
    if not row.any():
        raise ValueError("a mixture of labels needs a weight above 0")
    row /= row.max()  # first, so that the sum is finite
    row /= row.sum()

"""Labels of records: their probabilities are inputs of the first layer at every step."""

from collections import Counter
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
            raise ValueError("leave label out: this model was trained without labels")
        return None
    if labels is None:
        raise ValueError(f"this model needs a label: {', '.join(map(repr, names))}, or a "
                         "mixture of them")
    each = [labels] * N if one_label(labels) else list(labels)
    if len(each) != N:
        raise ValueError(f"{len(each)} labels for {N} rows: give one for each, or one for all")
    weights = np.zeros((N, len(names)))
    for row, label in zip(weights, each, strict=True):
        _fill(row, names, label)
    return weights.astype(dtype)


def one_label(labels: Any) -> bool:
    """Whether this is one label or mixture for all rows, and not one for each."""
    return isinstance(labels, str | Mapping) or not isinstance(labels, Iterable)


def counted(names: Sequence[str] | None, of_rows: Iterable[str] | None) -> NDArray[np.float64]:
    """How often each of a model's labels is that of a row, shape (C,); empty without labels."""
    count = Counter(of_rows or ())
    return np.array([count[name] for name in names or ()], np.float64)


def some_of(names: Sequence[str] | None, chosen: Any) -> list[str]:
    """The labels of a model that are chosen, in its own order; all where None are."""
    if names is None:
        raise ValueError("this model was trained without labels, so it has none to rank")
    if chosen is None:
        return list(names)
    if isinstance(chosen, str | bytes) or not isinstance(chosen, Iterable):
        raise TypeError(f"labels must be a list of labels, not {chosen!r}: put one into a list")
    chosen = list(chosen)
    for name in chosen:
        _known(name, names)
    if len(chosen) < 1 or len(set(chosen)) < len(chosen):
        raise ValueError("labels must be distinct labels of the model, and at least one, not "
                         f"{chosen!r}")
    return [name for name in names if name in chosen]


def log_priors(names: Sequence[str], chosen: Sequence[str], prior: Any,
              counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the prior probability of each chosen label: 0 for all where `prior` is None,
    else those of a mapping, or with "training" the `counts` (C,) of the labels in training."""
    if prior is None:
        return np.zeros(len(chosen))
    if isinstance(prior, str) and prior == "training":
        if not counts.any():
            raise ValueError("prior='training' needs to know how often each label came in "
                             "training, and this model does not: give a probability for each label")
        prior = dict(zip(names, counts.tolist(), strict=True))
    if not isinstance(prior, Mapping):
        raise TypeError('prior must be a dict of label -> probability, or "training" for how often '
                        f"each came in training, not {prior!r}")
    for name in prior:
        _known(name, names)
    for name in chosen:
        if name not in prior:
            raise ValueError(f"prior must have a probability of label {name!r} too: give 0 for "
                             "what cannot be, or name only the others in labels")
    weights = np.array([positive_float("a label's prior", prior[name], zero=True)
                        for name in chosen])
    if not weights.any():
        raise ValueError("prior must have a probability above 0 for a label that is ranked")
    weights /= weights.max()  # first, so that the sum is finite
    with np.errstate(divide="ignore"):
        logarithms: NDArray[np.float64] = np.log(weights / weights.sum())
    return logarithms


def _known(name: Any, names: Sequence[str]) -> None:
    """Raise ValueError unless a label is one of the model's."""
    if name not in names:
        hint = suggestion(name, names)
        raise ValueError(f"label {name!r} never came in training: the known ones are "
                         f"{', '.join(map(repr, names))}{hint and '; '}{hint}")


def _fill(row: NDArray[np.float64], names: Sequence[str], label: Any) -> None:
    """Write the probabilities (C,) of a label or a mixture into row."""
    if not isinstance(label, str | Mapping):
        raise TypeError(f"a label must be a str, or a dict of label -> weight, not {label!r}")
    for name, weight in (label if isinstance(label, Mapping) else {label: 1.0}).items():
        _known(name, names)
        row[names.index(name)] = positive_float("a label's weight", weight, zero=True)
    if not row.any():
        raise ValueError("a mixture of labels needs a weight above 0")
    row /= row.max()  # first, so that the sum is finite
    row /= row.sum()

"""How often a model of records ranks each label first, beside the labels that are right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.corpus import Corpus
from ..model.labels import log_priors, probabilities
from ..model.model import Model
from ..model.scoring import read


@dataclass(frozen=True)
class Confusion:
    """Attributes
    ----------
    names : tuple of str
        The model's C labels.
    counts : int64 ndarray, shape (C, C)
        Records of each label (row) for which each label (column) is ranked first.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """The fraction of records whose own label is ranked first."""
        return float(np.trace(self.counts) / self.counts.sum())


def confusion(model: Model, corpus: Corpus, prior: Any = None) -> Confusion:
    """Rank the labels of all records of a corpus, as `Model.rank_labels` does with this prior, and
    count them.

    Raises
    ------
    ValueError, TypeError
        What `Model.rank_labels` refuses, or a corpus that the model cannot read or that has no
        labels.
    """
    names = model.config["labels"]
    model.check(corpus)
    of_rows = corpus.row_labels()
    if not names or of_rows is None:
        raise ValueError(f"{corpus.name} or this model has no labels, so none can be ranked")
    losses = np.zeros((len(of_rows), len(names)))
    for c, name in enumerate(names):
        weights = probabilities(names, name, len(of_rows), model.block.dtype)
        for batch, each, _ in read(model, corpus.unweighted(), model.state, weights):
            losses[batch.rows, c] = (each * batch.arrays["mask"][:, : len(batch.rows)]).sum(axis=0)
    first = (losses - log_priors(names, names, prior, model.label_counts)).argmin(axis=1)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, ([names.index(label) for label in of_rows], first), 1)
    return Confusion(tuple(names), counts)

"""Which label a record has, by Bayes' rule, from its losses with each of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ..data.vocabulary import Vocabulary
from .labels import log_priors, some_of
from .network import Network

Prior = Mapping[str, float] | Literal["training"] | None


class _Ranked(NamedTuple):
    label: str
    loss: float
    probability: float


class RankedLabel(_Ranked):
    """A label (str) in the ranking of `Model.rank_labels`, the loss (float) of the record with this
    label in nats per symbol, and the posterior probability (float) of the label: a tuple of these
    three. `total` (float) is the loss of the whole record with this label, in nats."""

    total: float

    def __new__(cls, label: str, loss: float, probability: float,
                total: float = math.nan) -> "RankedLabel":
        ranked = super().__new__(cls, label, loss, probability)
        ranked.total = total
        return ranked

    @property
    def share(self) -> float:
        """The former name of `probability`."""
        return self.probability


def ranked(network: Network, vocabulary: Vocabulary, text: str | bytes,
           labels: Sequence[str] | None, prior: Prior, counts: NDArray[np.float64],
           losses_of: Callable[[Sequence[str]], NDArray[np.float64]]) -> list[RankedLabel]:
    """Those of a network's labels that are wanted, the most probable first, of a record with the
    losses `losses_of(labels)` (in nats); `counts` says how often each of the network's labels came
    in training."""
    names = network.config["labels"]
    chosen = some_of(names, labels)
    log_prior = log_priors(names, chosen, prior, counts)
    losses = losses_of(chosen)
    p, symbols = softmax(log_prior - losses), len(vocabulary.encode_record(text)) - 1
    return [RankedLabel(chosen[c], float(losses[c]) / symbols, float(p[c]), float(losses[c]))
            for c in np.lexsort((losses, losses - log_prior))]

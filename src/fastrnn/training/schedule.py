"""Learning rates, each a function of the update's number, so that a resumed run uses the same."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def learning_rates(
    config: dict[str, Any], first: int, count: int, updates_per_epoch: int, planned: int | None,
    spent: float = 0.0,
) -> NDArray[np.float64]:
    """The learning rates of `count` updates after the first `first`.

    learning_rate_decay, as in karpathy/char-rnn and jcjohnson/torch-rnn: the rate is multiplied
    by it when learning_rate_decay_after epochs are completed, and then once every
    learning_rate_decay_every. Cosine: rate (e + (1 - e) (1 + cos(pi s)) / 2) with e = schedule_end
    (Loshchilov and Hutter 2017, without restarts), s going from 0 at the end of the warm-up to 1 at
    `planned` updates; or s is `spent`, the fraction of the training time, where `planned` is None.
    """
    done = np.arange(first, first + count)
    rates = np.full(count, config["learning_rate"])
    warmup = config["warmup"]
    if warmup:
        rates *= np.minimum(1, (done + 1) / warmup)
    if config["schedule"] == "cosine":
        s = spent if planned is None else (done - warmup) / (planned - warmup)
        end = config["schedule_end"]
        rates *= end + (1 - end) * (1 + np.cos(np.pi * np.clip(s, 0, 1))) / 2
    if config["learning_rate_decay"] < 1:
        late = done // updates_per_epoch - config["learning_rate_decay_after"]
        times = np.where(late < 0, 0, late // config["learning_rate_decay_every"] + 1)
        rates *= config["learning_rate_decay"] ** times
    return rates

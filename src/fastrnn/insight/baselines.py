"""What simple models reach on the same data: a model that is worth its training does better."""

import lzma
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.vocabulary import Vocabulary

Ids = NDArray[Any]


def ngram_surprisal(train: Sequence[Ids], held: Sequence[Ids], symbols: int,
                    order: int = 5) -> NDArray[np.float64]:
    """-log p of each symbol of some pieces, in nats, by an n-gram model of other ones.

    Interpolated Witten-Bell smoothing: with h the last n - 1 symbols, h' all of them but the first,
    c the counts in `train`, and t(h) how many distinct symbols follow h there,
    p(w | h) = (c(h w) + t(h) p(w | h')) / (c(h) + t(h)), down to 1 / symbols below the unigrams.
    With order 1 these are the unigrams alone.

    Parameters
    ----------
    train, held : sequence of ndarray of int, each (n,)
        Ids of texts or records. The first symbol of each is read, but not predicted, and nothing is
        read across the bounds of a piece: near its beginning contexts are shorter.
    symbols : int
        Distinct symbols, K.
    order : int
        n, at least 1.

    Returns
    -------
    ndarray of float64, shape (predictions,)
        Of the pieces of `held`, one after the other, all symbols but the first of each.

    References
    ----------
    Witten and Bell 1991, method C; interpolated as in Chen and Goodman 1998.
    """
    pieces = [*train, *held]
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    ids = np.concatenate(pieces).astype(np.int64)
    places = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    learned = np.arange(len(ids)) < lengths[: len(train)].sum()
    asked = ~learned & (places > 0)
    p = np.full(len(ids), 1 / symbols)
    contexts, grams = np.zeros(len(ids), np.int64), ids  # numbers of h and of h w at each place
    for n in range(1, order + 1):
        if n > 1:  # h is the (n - 1)-gram that ends at the symbol before
            contexts = np.append(0, grams[:-1])
            grams = np.unique(contexts * symbols + ids, return_inverse=True)[1]
        there = places >= max(n - 1, 1)
        h, hw = contexts[learned & there], grams[learned & there]
        of_grams = np.bincount(hw, minlength=len(ids) + symbols)
        of_contexts = np.bincount(h, minlength=len(ids) + symbols)
        following = np.bincount(h[np.unique(hw, return_index=True)[1]],
                                minlength=len(ids) + symbols)
        now = asked & there
        h, hw = contexts[now], grams[now]
        total = of_contexts[h] + following[h]
        known = total > 0  # else p(w | h) = p(w | h')
        p[now] = np.where(known, (of_grams[hw] + following[h] * p[now]) / np.maximum(total, 1),
                          p[now])
    surprisal: NDArray[np.float64] = -np.log(p[asked])
    return surprisal


def xz_bits(train: bytes, held: bytes) -> int:
    """By how many bits xz's output grows when `held` follows `train`."""
    return 8 * (len(lzma.compress(train + held)) - len(lzma.compress(train)))


def baselines(train: Sequence[Ids], held: Sequence[Ids],
              vocabulary: Vocabulary) -> dict[str, float]:
    """The mean loss, in nats per predicted symbol of `held`, of simple models that read `train`:
    uniform, unigram and 5-gram (`ngram_surprisal`), and xz (`xz_bits`), which predicts nothing, but
    whose bits can be compared.

    Parameters
    ----------
    train, held : sequence of ndarray of int, each (n,)
        Texts; or records, each with its start and stop symbol.
    vocabulary : Vocabulary
    """
    K, count = len(vocabulary), sum(len(piece) - 1 for piece in held)
    texts = []
    for part in train, held:
        if vocabulary.stop is None:
            text = vocabulary.decode(np.concatenate(list(part)))
        else:
            text = "\n".join(vocabulary.decode(piece[1:-1]) for piece in part)
        blank = "\n" if vocabulary.stop is not None else " " * (vocabulary.unit == "word")
        texts.append((text + blank).encode("utf-8", "surrogatepass"))
    return {
        "uniform guess": math.log(K),
        "unigram": float(ngram_surprisal(train, held, K, 1).mean()),
        "5-gram": float(ngram_surprisal(train, held, K, 5).mean()),
        "xz": math.log(2) * xz_bits(*texts) / count,
    }

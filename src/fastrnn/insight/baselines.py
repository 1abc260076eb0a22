"""What simple models reach on the same data: a model that is worth its training does better."""

import lzma
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.corpus import Corpus
from ..data.vocabulary import Vocabulary

Ids = NDArray[Any]
READ = 5_000_000  # symbols of a training text, its last ones, that simple models read
PPM_CONTEXT = 5  # symbols of the longest context of PPM


@dataclass(frozen=True)
class Counts:
    """What n-grams of one length tell at each predicted symbol w after its n - 1 symbols h: the
    counts c(h) and c(h w) in the training pieces (0 where h would begin before its piece), how many
    distinct symbols follow h there, t(h), and how often these follow h without its first symbol,
    `shorter`. All int64 (predictions,)."""

    contexts: NDArray[np.int64]
    grams: NDArray[np.int64]
    following: NDArray[np.int64]
    shorter: NDArray[np.int64]


def counted(train: Sequence[Ids], held: Sequence[Ids], symbols: int,
            order: int) -> Iterator[Counts]:
    """The counts of n-grams in `train`, for n from 1 to `order`, at the symbols of `held` but for
    the first of each piece."""
    pieces = [*train, *held]
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    ids = np.concatenate(pieces).astype(np.int64)
    places = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    learned = np.arange(len(ids)) < lengths[: len(train)].sum()
    asked = ~learned & (places > 0)
    size = len(ids) + symbols
    contexts, grams = np.zeros(len(ids), np.int64), ids  # numbers of h and of h w at each place
    of_shorter = np.zeros(size, np.int64)  # counts of the grams before
    for n in range(1, order + 1):
        lower = grams
        if n > 1:  # h is the (n - 1)-gram that ends at the symbol before
            contexts = np.append(0, grams[:-1])
            grams = np.unique(contexts * symbols + ids, return_inverse=True)[1]
        there = places >= max(n - 1, 1)
        h, hw = contexts[learned & there], grams[learned & there]
        last = np.full(size, -1)
        last[hw] = np.arange(len(hw))
        one = last[last >= 0]  # a place of each distinct gram
        below = of_shorter[lower[learned & there][one]]
        of_grams = np.bincount(hw, minlength=size)
        tables = (np.bincount(h, minlength=size), np.bincount(h[one], minlength=size),
                  np.bincount(h[one], weights=below, minlength=size).astype(np.int64))
        of_contexts, following, shorter = (
            np.where(there[asked], table[contexts[asked]], 0) for table in tables)
        yield Counts(of_contexts, np.where(there[asked], of_grams[grams[asked]], 0), following,
                     shorter)
        of_shorter = of_grams


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
    return interpolated(counted(train, held, symbols, order), symbols)


def interpolated(lengths: Iterable[Counts], symbols: int) -> NDArray[np.float64]:
    """`ngram_surprisal` from the counts of n-grams, the shortest first."""
    p: Any = 1 / symbols
    for n in lengths:
        total = n.contexts + n.following
        known = total > 0  # else p(w | h) = p(w | h')
        p = np.where(known, (n.grams + n.following * p) / np.maximum(total, 1), p)
    surprisal: NDArray[np.float64] = -np.log(p)
    return surprisal


def ppm_surprisal(train: Sequence[Ids], held: Sequence[Ids], symbols: int,
                  longest: int = PPM_CONTEXT) -> NDArray[np.float64]:
    """-log p of each symbol of some pieces, in nats, by PPM-C with exclusion, whose counts are
    those of other pieces and do not change while it reads.

    The last `longest` symbols are the first context h. With c(h) and t(h) without the symbols that
    follow longer contexts, which are excluded, a symbol that follows h has the probability
    c(h w) / (c(h) + t(h)), and t(h) / (c(h) + t(h)) is left for the context without its first
    symbol; after the empty context all symbols that are left are equally likely. Nothing is left
    where all K symbols follow h.

    Parameters and result are those of `ngram_surprisal`; `longest` is at least 0.

    References
    ----------
    Cleary and Witten 1984; method C: Moffat 1990.
    """
    return escaping(list(counted(train, held, symbols, longest + 1)), symbols)


def escaping(lengths: Sequence[Counts], symbols: int) -> NDArray[np.float64]:
    """`ppm_surprisal` from the counts of n-grams, the shortest first."""
    p, found = np.ones(len(lengths[0].grams)), np.zeros(len(lengths[0].grams), bool)
    gone, excluded = np.zeros((2, len(p)), np.int64)  # their count after h, and how many they are
    for n in reversed(lengths):
        count, distinct = n.contexts - gone, n.following - excluded
        left = np.where(n.following < symbols, distinct, 0)
        here = ~found & (n.grams > 0)
        share = np.where(here, n.grams, left) / np.maximum(count + left, 1)
        p = np.where(found | (distinct == 0), p, p * share)
        found |= here
        gone, excluded = n.shorter, n.following
    surprisal: NDArray[np.float64] = -np.log(
        np.where(found, p, p / np.maximum(symbols - excluded, 1)))
    return surprisal


def xz_bits(train: bytes, held: bytes) -> int:
    """By how many bits xz's output grows when `held` follows `train`."""
    return 8 * (len(lzma.compress(train + held)) - len(lzma.compress(train)))


def baselines(train: Sequence[Ids], held: Sequence[Ids],
              vocabulary: Vocabulary) -> dict[str, float]:
    """The mean loss, in nats per predicted symbol of `held`, of simple models that read `train`:
    uniform, unigram and 5-gram (`ngram_surprisal`), PPM (`ppm_surprisal`), and xz (`xz_bits`),
    which predicts nothing, but whose bits can be compared.

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
    lengths = list(counted(train, held, K, PPM_CONTEXT + 1))
    return {
        "uniform guess": math.log(K),
        "unigram": float(interpolated(lengths[:1], K).mean()),
        "5-gram": float(interpolated(lengths[:5], K).mean()),
        "PPM-C": float(escaping(lengths, K).mean()),
        "xz": math.log(2) * xz_bits(*texts) / count,
    }


def simple_models(train: Corpus, held: Corpus) -> dict[str, float]:
    """`baselines` of two corpora with the same vocabulary; of a text its last READ symbols are
    learned from."""
    if train.vocabulary.stop is None:
        return baselines([train.ids[-READ:]], [held.ids], train.vocabulary)
    return baselines(train.pieces(), held.pieces(), train.vocabulary)


def explained(corpus: Corpus) -> dict[str, str]:
    """What each of the simple models is."""
    unit = "character" if corpus.unit == "char" else corpus.unit
    return {
        "uniform guess": f"all {len(corpus.vocabulary):,} {unit}s are equally likely",
        "unigram": f"how often each {unit} is",
        "5-gram": f"the last 4 {unit}s, interpolated with shorter contexts (Witten-Bell)",
        "PPM-C": f"the last {PPM_CONTEXT} {unit}s, with escapes to shorter contexts and exclusion",
        "xz": "by how much the compressed training text grows when the scored text follows it",
    }

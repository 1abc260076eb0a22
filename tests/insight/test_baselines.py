"""n-grams and PPM beside slow implementations with dictionaries; sums of probabilities; xz."""
import lzma
import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from fastrnn import Corpus
from fastrnn.insight.baselines import baselines, ngram_surprisal, ppm_surprisal, xz_bits


def slow(train, held, K, order):
    """p(w | h) by its recursion, from counts in dictionaries."""
    counts, followers = Counter(), defaultdict(set)
    for piece in train:
        for i in range(1, len(piece)):
            for n in range(order):
                if i >= n:
                    h = tuple(piece[i - n : i])
                    counts[h, piece[i]] += 1
                    counts[h] += 1
                    followers[h].add(piece[i])

    def p(w, h):
        below = p(w, h[1:]) if h else 1 / K
        t = len(followers[h])
        return (counts[h, w] + t * below) / (counts[h] + t) if t else below

    return [-math.log(p(piece[i], tuple(piece[max(0, i - order + 1) : i])))
            for piece in held for i in range(1, len(piece))]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("lengths", [([400], [90]), ([5, 1, 9, 2, 30, 3], [4, 1, 2, 11])])
def test_ngrams_agree_with_dictionaries(order, lengths):
    rng = np.random.default_rng(order)
    # symbol 5 never stands in the training pieces, 0 is frequent
    of_train, of_held = [.5, .2, .1, .1, .1], [.4, .2, .1, .1, .1, .1]
    train = [rng.choice(5, size=n, p=of_train) for n in lengths[0]]
    held = [rng.choice(6, size=n, p=of_held) for n in lengths[1]]
    found = ngram_surprisal(train, held, 7, order)
    np.testing.assert_allclose(found, slow([p.tolist() for p in train], [p.tolist() for p in held],
                                           7, order), rtol=1e-12)


def slow_ppm(train, held, K, longest):
    """Symbol by symbol: from the longest context down, without the symbols that were excluded."""
    counts = defaultdict(Counter)
    for piece in train:
        for i in range(1, len(piece)):
            for n in range(min(longest, i) + 1):
                counts[tuple(piece[i - n : i])][piece[i]] += 1

    def p(w, h):
        mass, excluded = 1.0, set()
        for n in range(min(longest, len(h)), -1, -1):
            left = {s: c for s, c in counts[tuple(h[len(h) - n :])].items() if s not in excluded}
            escape = len(left) if len(excluded | set(left)) < K else 0
            if w in left:
                return mass * left[w] / (sum(left.values()) + escape)
            if left:
                mass *= escape / (sum(left.values()) + escape)
            excluded |= set(left)
        return mass / (K - len(excluded))

    return [-math.log(p(piece[i], piece[:i])) for piece in held for i in range(1, len(piece))]


@pytest.mark.parametrize("longest", [0, 1, 2, 5])
@pytest.mark.parametrize("K", [6, 7])
@pytest.mark.parametrize("lengths", [([400], [90]), ([5, 1, 9, 2, 30, 3], [4, 1, 2, 11])])
def test_ppm_agrees_with_dictionaries(longest, K, lengths):
    rng = np.random.default_rng(longest)
    train = [rng.choice(6, size=n, p=[.5, .2, .1, .1, .05, .05]) for n in lengths[0]]
    held = [rng.choice(K, size=n) for n in lengths[1]]
    found = ppm_surprisal(train, held, K, longest)
    np.testing.assert_allclose(found, slow_ppm([p.tolist() for p in train],
                                               [p.tolist() for p in held], K, longest), rtol=1e-12)


def test_ppm_by_hand():
    """0 follows 3 twice; 1 and 2 follow 0 once each, so that after 0 each has 1/4. The other half
    is for the empty context without 1 and 2, where 0 has 2 of 2 + 1; what is left is for 3."""
    train = [np.array([3, 0, 1]), np.array([3, 0, 2])]
    asked = [np.array([0, w]) for w in range(4)]
    p = np.exp(-ppm_surprisal(train, asked, 4))
    np.testing.assert_allclose(p, [1 / 2 * 2 / 3, 1 / 4, 1 / 4, 1 / 2 * 1 / 3], rtol=1e-14)


@pytest.mark.parametrize("model", [ngram_surprisal, ppm_surprisal])
@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("known", [3, 4])
def test_probabilities_of_all_symbols_sum_to_one(model, order, known):
    rng, K = np.random.default_rng(1), 4
    train = [rng.integers(known, size=60)]
    for context in ([0], [2, 1], [3, 3, 3], [0, 1, 2, 0, 1]):
        each = model(train, [np.array([*context, w]) for w in range(K)], K, order)
        last = each.reshape(K, -1)[:, -1]
        assert np.exp(-last).sum() == pytest.approx(1, abs=1e-12) and np.isfinite(last).all()


def test_what_simple_models_reach_on_a_text():
    corpus = Corpus.from_text("abcabd" * 300)
    train, held = corpus.hold_out(0.2, 0)
    found = baselines([train.ids], [held.ids], corpus.vocabulary)
    assert list(found) == ["uniform guess", "unigram", "5-gram", "PPM-C", "xz"]
    assert found["uniform guess"] == math.log(4)
    frequencies = np.array([2, 2, 1, 1]) / 6
    entropy = -(frequencies * np.log(frequencies)).sum()
    assert found["unigram"] == pytest.approx(entropy, rel=0.01)
    assert 0 < found["5-gram"] < 0.05
    texts = [corpus.vocabulary.decode(part.ids).encode() for part in (train, held)]
    bits = 8 * (len(lzma.compress(texts[0] + texts[1])) - len(lzma.compress(texts[0])))
    assert found["xz"] * (len(held) - 1) / math.log(2) == pytest.approx(bits)


def test_xz_finds_what_it_has_read_and_not_what_is_random():
    rng = np.random.default_rng(0)
    first, second = rng.bytes(4000), rng.bytes(4000)
    assert xz_bits(first, second) >= 8 * 4000
    assert xz_bits(first, first) < 8 * 200


def test_what_simple_models_reach_on_records_and_words():
    names = Corpus.from_records(["anna", "hanna", "johanna", "jan"] * 20)
    pieces = names.pieces()
    found = baselines(pieces[:60], pieces[60:], names.vocabulary)
    assert 0 < found["5-gram"] < found["unigram"] < found["uniform guess"]
    words = Corpus.from_text(" ".join(["to be or not to be that is the question"] * 30), "word")
    train, held = words.hold_out(0.1, 0)
    found = baselines([train.ids], [held.ids], words.vocabulary)
    assert 0 <= found["xz"] < found["unigram"] and found["5-gram"] < 0.1

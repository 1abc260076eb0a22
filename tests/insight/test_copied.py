"""The longest common passage beside a comparison of all places with all."""
import time

import numpy as np
import pytest

from fastrnn.insight.copied import Passage, longest_copied


def brute(sample, text):
    best = Passage(0, 0, 0)
    for i in range(len(sample)):
        for j in range(len(text)):
            n = 0
            while i + n < len(sample) and j + n < len(text) and sample[i + n] == text[j + n]:
                n += 1
            if n > best.length:
                best = Passage(n, i, j)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_longest(seed):
    rng = np.random.default_rng(seed)
    K, n, m = rng.integers(1, 5), rng.integers(1, 30), rng.integers(1, 80)
    sample, text = rng.integers(K, size=n).astype(np.uint8), rng.integers(K, size=m)
    assert longest_copied(sample, text) == brute(sample.tolist(), text.tolist())


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 9, 100, 257, 1000])
def test_a_planted_passage_is_found_in_a_long_text(length):
    rng = np.random.default_rng(length)
    text, sample = rng.integers(60, size=1_000_000).astype(np.uint8), np.full(1000, 60)
    sample[1000 - length :] = text[444_000 : 444_000 + length]
    began = time.perf_counter()
    found = longest_copied(sample, text)
    assert time.perf_counter() - began < 20
    assert found.length == length and found.in_sample == 1000 - length
    assert (text[found.in_text :][:length] == sample[1000 - length :]).all()


def test_nothing_in_common():
    empty, one = np.zeros(0, np.int64), np.array([1])
    for sample, text in ((empty, one), (one, empty), (np.array([2, 2]), one)):
        assert longest_copied(sample, text) == Passage(0, 0, 0)
    assert longest_copied(np.array([7, 7, 7]), np.array([7, 7, 7])) == Passage(3, 0, 0)

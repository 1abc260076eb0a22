"""Counts of first labels beside one call of rank_labels for each record."""
import numpy as np
import pytest

from fastrnn import Corpus, Model
from fastrnn.insight.confusion import confusion


def trained():
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list("abcde"), size=rng.integers(1, 9))) for _ in range(70)]
    labels = [["x", "y", "z & <b>"][i] for i in rng.integers(3, size=70)]
    corpus = Corpus.from_records(texts, labels)
    model = Model(corpus.vocabulary, cell="gru", hidden_size=9, labels=list(corpus.labels), seed=1,
                  init_scale=0.6)
    model.label_counts = np.array([50.0, 40, 44])
    return texts, labels, corpus, model


@pytest.mark.parametrize("prior", [None, "training", {"x": 1, "y": 1.2, "z & <b>": 0.9}])
def test_it_counts_what_rank_labels_ranks_first(prior):
    texts, labels, corpus, model = trained()
    expected = np.zeros((3, 3), int)
    for text, label in zip(texts, labels, strict=True):
        first = model.rank_labels(text, prior=prior)[0].label
        expected[corpus.labels.index(label), corpus.labels.index(first)] += 1
    weights = np.linspace(0.1, 5, len(texts))
    for data in corpus, corpus.weighted(weights):
        found = confusion(model, data, prior)
        np.testing.assert_array_equal(found.counts, expected)
        assert found.names == corpus.labels
        assert found.accuracy == sum(expected[i, i] for i in range(3)) / 70
    assert np.count_nonzero(expected) > 3


def test_without_labels_there_is_nothing_to_count():
    texts, _, corpus, model = trained()
    plain = Corpus.from_records(texts, vocabulary=corpus.vocabulary)
    with pytest.raises(ValueError, match="labels"):
        confusion(model, plain)
    with pytest.raises(ValueError, match="no labels"):
        confusion(Model(corpus.vocabulary, hidden_size=4), plain)

"""The losses of symbols and their gradients, against the definitions in 800 digits."""
import functools
import itertools
from decimal import Decimal, localcontext

import numpy as np
import pytest

import fastrnn
from fastrnn.checks import reference
from fastrnn.model.network import Sizes

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SPREADS = (0.3, 5, 40, 120, 300)


@functools.cache
def exact(K, spread, dtype, binary):
    """For each target -log p, of others where binary -log(1 - p); the gradients by way of dL/dp."""
    with localcontext(prec=800):
        e = [Decimal(float(o)).exp() for o in random_scores(K, spread, dtype)]
        p = [x / sum(e) for x in e]
        rest = [sum(e[:k] + e[k + 1 :]) / sum(e) for k in range(K)]
    losses, gradients = [], []
    for target in range(K):
        with localcontext(prec=40):
            loss = -sum(p[k].ln() if k == target else rest[k].ln() if binary else 0
                        for k in range(K))
        with localcontext(prec=800):
            dp = [-1 / p[k] if k == target else 1 / rest[k] if binary else Decimal(0)
                  for k in range(K)]
            mean = sum(p[k] * dp[k] for k in range(K))
            gradients.append([float(p[k] * (dp[k] - mean)) for k in range(K)])
        losses.append(float(loss))
    return np.array(losses), np.array(gradients)


def random_scores(K, spread, dtype):
    return (spread * np.random.default_rng(K).normal(size=K)).astype(dtype)


def model_with(scores, dtype, loss):
    """A model whose outputs are `scores` at every step."""
    K = len(scores)
    model = fastrnn.Model(Sizes(input_symbols=K, output_symbols=K), hidden_size=3, dtype=dtype,
                          loss=loss)
    model.block[:] = 0
    model.params["head.b"][:] = scores
    return model


@pytest.mark.parametrize(("K", "spread"), [
    *itertools.product((2, 3, 16), SPREADS), (37, 5), (37, 300)])
@DTYPES
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_the_kernels_at_any_distance_of_scores(isa, loss, dtype, K, spread):
    """Each target by itself, the likeliest symbol and the least likely among them."""
    scores = random_scores(K, spread, dtype)
    model, limit = model_with(scores, dtype, loss), 2e-6 if dtype == "float32" else 1e-14
    losses, gradients = exact(K, spread, dtype, loss.startswith("binary"))
    for target in range(K):
        found, grads, _ = model.loss_and_gradients([[0]], [[target]])
        assert found == pytest.approx(losses[target], rel=limit, abs=limit)
        np.testing.assert_allclose(grads["head.b"], gradients[target], rtol=0,
                                   atol=limit * (1 + np.abs(gradients[target]).max()))


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("K", [2, 5, 11])
def test_the_twins_at_any_distance_of_scores(K, spread):
    scores = random_scores(K, spread, "float64")
    for loss, binary in ((reference.softmax_cross_entropy, False),
                         (reference.binary_cross_entropy, True)):
        losses, expected = exact(K, spread, "float64", binary)
        total, gradients = loss(np.tile(scores, (1, K, 1)), np.arange(K)[None])
        assert total == pytest.approx(losses.sum(), rel=1e-13, abs=1e-13)
        np.testing.assert_allclose(gradients[0], expected, rtol=1e-11, atol=1e-12)


@DTYPES
def test_a_wrong_symbol_that_is_certain(dtype):
    """-log p of the target and -log(1 - p) of the other are both the distance of the scores."""
    for distance in (60, 84, 86, 120, 1000, 1e6):
        model = model_with([0, distance], dtype, "binary_cross_entropy")
        loss, grads, _ = model.loss_and_gradients([[0, 1]], [[0, 0]])
        assert loss == 4 * distance
        assert grads["head.b"].tolist() == [-4, 4]
    model = model_with([0, 120], dtype, "binary_cross_entropy")
    loss, grads, _ = model.loss_and_gradients([[0]], [[1]])
    assert 0 <= loss < 1e-45 and np.abs(grads["head.b"]).max() < 1e-45


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("target", [0, 3, 6])
def test_the_binary_gradient_is_the_slope_of_the_loss(spread, target):
    scores = random_scores(7, spread, "float64")
    model = model_with(scores, "float64", "binary_cross_entropy")
    _, grads, _ = model.loss_and_gradients([[0]], [[target]])
    for k in range(7):
        ends = []
        for step in (1e-4, -1e-4):
            model.params["head.b"][:] = scores + step * (np.arange(7) == k)
            ends.append(model.losses([[0]], [[target]])[0, 0])
        assert grads["head.b"][k] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=3e-7)

"""exp, tanh, sigmoid and 1/sqrt of csrc/vecmath.h against a wider precision, in units in the last
place."""
import functools
import re
from pathlib import Path

import numpy as np
import pytest

from fastrnn import kernels

HEADER = Path(__file__).resolve().parents[2] / "csrc" / "vecmath.h"
NAMES = {"exp": "exps", "tanh": "tanhs", "sigmoid": "sigmoids", "rsqrt": "vec_rsqrt"}
EXP_LOW = {"float32": -87.0, "float64": -708.0}  # exp is 0 below, and sigmoid what it is there
# tanh and sigmoid are 1 above, to the last bit
SATURATED = {"float32": 9.02, "float64": 19.07}
FULL = {"float32": 17.4, "float64": 37.5}
WIDER = {"float32": np.float64, "float64": np.longdouble}


@functools.cache
def worst_allowed(function, dtype, isa):
    """The error that the function's comment in vecmath.h allows."""
    comment = re.search(rf"/\*((?:(?!\*/).)*)\*/\nINLINE \w+ {NAMES[function]}\(",
                        HEADER.read_text(), re.DOTALL)[1]
    words = " ".join(comment.replace("\n *", " ").split())
    found = re.search(r"Error for [^:]+: ([\d.]+) ulp in float,[^\d]*([\d.]+) in double"
                      r"(?:; with AVX-512 ([\d.]+) and ([\d.]+))?\.", words)
    place = ("float32", "float64").index(dtype)
    return float(isa == "avx512" and found[3 + place] or found[1 + place])


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


TRUTH = {"exp": np.exp, "tanh": np.tanh, "sigmoid": sigmoid, "rsqrt": lambda x: 1 / np.sqrt(x)}

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def neighbours(x, dtype, steps=3):
    """The floats up to so many steps below and above each x."""
    x = np.asarray(x, dtype)
    rows = [x]
    for towards in (-np.inf, np.inf):
        near = x
        for _ in range(steps):
            near = np.nextafter(near, np.array(towards, dtype))
            rows.append(near)
    return np.concatenate(rows)


@functools.cache
def points(function, dtype):
    """Where a function is tested; the same for every instruction set."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    n = 120_000
    if function == "rsqrt":
        return np.concatenate([
            rng.uniform(1, 4, 4 * n), rng.uniform(1.01, 1.09, n),
            np.linspace(1, 4, 2 * n, endpoint=False),
            2.0 ** rng.uniform(info.minexp + 2, info.maxexp - 1e-3, n),
            neighbours(2.0 ** np.arange(info.minexp + 3, info.maxexp - 1), dtype),
            [4 * info.tiny, info.max]]).astype(dtype)  # half of x must be normal too
    top = SATURATED[dtype] + 1 if function == "tanh" else -EXP_LOW[dtype]
    # the argument is reduced by multiples of ln 2, of twice the argument in tanh
    step = np.log(2) / (2 if function == "tanh" else 1)
    halves = np.arange(1, int(2 * top / step)) * step / 2
    x = np.concatenate([
        np.linspace(0, top, 2 * n), np.linspace(0, 1, n), rng.uniform(0, top, n),
        rng.uniform(0, 0.3, 4 * n), rng.uniform(0, 1.4, n),
        10 ** rng.uniform(np.log10(info.tiny), 0, n), rng.uniform(0, 8, n),
        neighbours(halves, dtype), neighbours(2.0 ** np.arange(info.minexp + 1, 1), dtype),
        rng.choice(halves, n) + rng.normal(0, 1e-3, n),
        # where tanh in double and sigmoid err most
        rng.uniform(0.1249, 0.13, n), rng.uniform(16.63, 16.64, n),
        rng.uniform(36.72, 36.76, n)]).astype(dtype)
    x = np.abs(x[np.abs(x) <= top])
    return -x if function == "exp" else np.concatenate([x, -x])


@functools.cache
def truth(function, dtype):
    return TRUTH[function](points(function, dtype).astype(WIDER[dtype]))


def in_ulps(y, true, dtype):
    """The error of y in units in the last place of the true value."""
    wider = WIDER[dtype]
    return np.abs(y.astype(wider) - true) / np.spacing(np.abs(true.astype(dtype))).astype(wider)


def needs_wider(dtype):
    if np.finfo(WIDER[dtype]).nmant < np.finfo(dtype).nmant + 8:
        pytest.skip("long double is no wider than double here: nothing to compare with")


@dtypes
@pytest.mark.parametrize("function", kernels.FUNCTIONS)
def test_errors(isa, function, dtype):
    needs_wider(dtype)
    x, true = points(function, dtype), truth(function, dtype)
    error = in_ulps(kernels.map(function, x), true, dtype)
    worst = int(np.argmax(error))  # a NaN counts as the largest
    limit = worst_allowed(function, dtype, isa)
    assert error[worst] <= limit, (
        f"{function}({x[worst]!r}) is {float(error[worst]):.3f} ulp off, and "
        f"{np.mean(error > limit):.2g} of the points are above {limit}")


@dtypes
def test_an_error_of_one_ulp_is_seen_as_one(dtype):
    needs_wider(dtype)
    true = truth("tanh", dtype)
    y = true.astype(dtype)
    beside = np.nextafter(y, np.array(np.inf, dtype))
    assert 0.49 < in_ulps(y, true, dtype).max() <= 0.5
    assert 1.49 < in_ulps(beside, true, dtype).max() <= 1.5
    assert in_ulps(beside, y.astype(WIDER[dtype]), dtype).max() <= 1


@dtypes
def test_exp_at_the_edges(isa, dtype):
    low, info = EXP_LOW[dtype], np.finfo(dtype)
    x = np.array([0.0, -0.0, -info.tiny, -info.smallest_subnormal, -info.eps / 8], dtype)
    assert np.array_equal(kernels.map("exp", x), np.ones_like(x))
    below = np.concatenate([
        neighbours([low], dtype)[1:4], [-np.inf, -info.max, -1e30],
        np.linspace(1.0001 * low, 40 * low, 1000), -(10.0 ** np.linspace(3, 38, 100))])
    y = kernels.map("exp", below.astype(dtype))
    assert np.array_equal(y, np.zeros_like(y)) and not np.signbit(y).any()
    # 0 comes where the true value is at most twice the smallest normal number, and no earlier
    assert kernels.map("exp", np.array([low], dtype))[0] > 0
    assert np.exp(low) < 2 * info.tiny
    assert np.isnan(kernels.map("exp", np.array([np.nan, -np.nan], dtype))).all()


@dtypes
def test_tanh_is_odd_to_the_bit(isa, dtype):
    x = np.abs(points("tanh", dtype))
    assert np.array_equal(kernels.map("tanh", -x), -kernels.map("tanh", x))
    zeros = kernels.map("tanh", np.array([0.0, -0.0], dtype))
    assert np.array_equal(zeros, [0, 0])
    assert np.array_equal(np.signbit(zeros), [False, True])


@dtypes
def test_tanh_of_tiny_numbers_is_the_number(isa, dtype):
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny / 3,
                  info.tiny, info.eps**2, info.eps / 8], dtype)
    assert np.array_equal(kernels.map("tanh", x), x)


@dtypes
def test_tanh_saturates(isa, dtype):
    info, edge = np.finfo(dtype), SATURATED[dtype]
    x = np.sort(np.concatenate([
        np.linspace(edge / 2, 1.2 * edge, 200_000),
        neighbours(np.linspace(edge - 1, edge, 300), dtype)]).astype(dtype))
    y = kernels.map("tanh", x)
    assert np.diff(y).min() >= -info.eps  # rises, but for two units in the last place
    assert y[0] < 1 - 10 * info.eps
    assert (y[x >= edge] == 1).all()
    far = np.array([20, 50, 88, 89, 700, 1e4, 1e30, info.max, np.inf], dtype)
    assert np.array_equal(kernels.map("tanh", far), np.ones_like(far))
    assert np.array_equal(kernels.map("tanh", -far), -np.ones_like(far))
    assert np.abs(kernels.map("tanh", points("tanh", dtype))).max() == 1  # never beyond
    assert np.isnan(kernels.map("tanh", np.array([np.nan, -np.nan], dtype))).all()


@dtypes
def test_sigmoid_at_the_edges(isa, dtype):
    low, info = EXP_LOW[dtype], np.finfo(dtype)
    zeros = np.array([0.0, -0.0, info.tiny, -info.tiny, info.smallest_subnormal], dtype)
    assert np.array_equal(kernels.map("sigmoid", zeros), np.full_like(zeros, 0.5))
    far = np.array([FULL[dtype], 50, 88, 89, 710, 1e4, 1e30, info.max, np.inf], dtype)
    assert np.array_equal(kernels.map("sigmoid", far), np.ones_like(far))
    below = np.concatenate([neighbours([low], dtype)[1:4], np.linspace(1.0001 * low, 40 * low, 99),
                            [-1e30, -info.max, -np.inf]]).astype(dtype)
    lowest = kernels.map("sigmoid", np.array([low], dtype))[0]
    assert 0 < lowest < 2 * info.tiny
    assert np.array_equal(kernels.map("sigmoid", below), np.full_like(below, lowest))
    assert np.isnan(kernels.map("sigmoid", np.array([np.nan, -np.nan], dtype))).all()


@dtypes
def test_sigmoid_rises_from_0_to_1(isa, dtype):
    x = np.sort(points("sigmoid", dtype))
    y = kernels.map("sigmoid", x)
    assert y.min() > 0 and y.max() == 1
    assert (np.diff(y) >= -4 * np.spacing(y[:-1])).all()  # but for some units in the last place
    assert np.abs(y + kernels.map("sigmoid", -x) - 1).max() <= 2 * np.finfo(dtype).eps


@dtypes
@pytest.mark.parametrize("function", kernels.FUNCTIONS)
def test_every_place_in_a_register_gives_the_same(isa, function, dtype):
    """A number's result does not depend on where it stands, nor on how many come with it."""
    lanes = kernels.lanes(dtype)
    x = points(function, dtype)[-3 * lanes - 1 :]
    whole = kernels.map(function, x)
    for n in range(1, 2 * lanes + 2):
        assert np.array_equal(kernels.map(function, x[:n]), whole[:n])
        assert np.array_equal(kernels.map(function, x[n:]), whole[n:])

"""fastrnn.optim: the optimizers' rules written out in NumPy, and clipping."""
import numpy as np
import pytest

import fastrnn
from fastrnn import nn, optim

STEPS = 4


def sgd(p, g, m, t):
    m["v"] = 0.6 * m.get("v", 0) + g
    return p - 0.05 * m["v"]


def adagrad(p, g, m, t):
    m["v"] = m.get("v", 0) + g**2
    return p - 0.05 * g / np.sqrt(m["v"] + 1e-8)


def rmsprop(p, g, m, t):
    m["v"] = 0.8 * m.get("v", 0) + 0.2 * g**2
    return p - 0.05 * g / np.sqrt(m["v"] + 1e-8)


def adam(p, g, m, t):
    m["m"] = 0.7 * m.get("m", 0) + 0.3 * g
    m["v"] = 0.9 * m.get("v", 0) + 0.1 * g**2
    return p - 0.05 * (m["m"] / (1 - 0.7**t)) / (np.sqrt(m["v"] / (1 - 0.9**t)) + 1e-8)


# PyTorch's formulas (weight decay outside the gradient, as in its AdamW, for all of them)

def sgd_decay(p, g, m, t):
    return p * (1 - 0.05 * 0.4) - 0.05 * g


def sgd_momentum_decay(p, g, m, t):
    return sgd(p * (1 - 0.05 * 0.4), g, m, t)


def torch_adagrad(p, g, m, t):
    m["sum"] = m.get("sum", 0) + g * g
    return p * (1 - 0.05 * 0.3) - 0.05 * g / (np.sqrt(m["sum"]) + 0.02)


def torch_rmsprop(p, g, m, t):
    m["square_avg"] = 0.99 * m.get("square_avg", 0) + 0.01 * g * g
    return p - 0.05 * g / (np.sqrt(m["square_avg"]) + 0.1)


def torch_adamw(p, g, m, t):
    p = p - 0.05 * 0.2 * p
    m["avg"] = 0.7 * m.get("avg", 0) + 0.3 * g
    m["sq"] = 0.9 * m.get("sq", 0) + 0.1 * g * g
    return p - 0.05 / (1 - 0.7**t) * m["avg"] / (np.sqrt(m["sq"]) / np.sqrt(1 - 0.9**t) + 0.01)


RULES = [
    (lambda p: optim.SGD(p, 0.05, momentum=0.6), sgd),
    (lambda p: optim.AdaGrad(p, 0.05), adagrad),
    (lambda p: optim.RMSProp(p, 0.05, decay_rate=0.8), rmsprop),
    (lambda p: optim.Adam(p, 0.05, beta1=0.7, beta2=0.9), adam),
    (lambda p: optim.SGD(p, 0.05, weight_decay=0.4), sgd_decay),
    (lambda p: optim.SGD(p, 0.05, momentum=0.6, weight_decay=0.4), sgd_momentum_decay),
    (lambda p: optim.AdaGrad(p, 0.05, epsilon=0.02, epsilon_inside=False, weight_decay=0.3),
     torch_adagrad),
    (lambda p: optim.RMSProp(p, 0.05, decay_rate=0.99, epsilon=0.1, epsilon_inside=False),
     torch_rmsprop),
    (lambda p: optim.Adam(p, 0.05, beta1=0.7, beta2=0.9, epsilon=0.01, weight_decay=0.2),
     torch_adamw),
]


@pytest.mark.parametrize(("make", "rule"), RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_rules(isa, make, rule, dtype, tolerance):
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(5, 7)).astype(dtype), "b": rng.normal(size=3).astype(dtype)}
    params["F"] = np.asfortranarray(rng.normal(size=(4, 6)).astype(dtype))  # not C-contiguous
    arrays = dict(params)
    expected = {name: p.astype(np.float64) for name, p in params.items()}
    memory = {name: {} for name in params}
    optimizer = make(params)
    for t in range(1, STEPS + 1):
        grads = {name: rng.normal(size=p.shape).astype(dtype) for name, p in params.items()}
        kept = {name: g.copy() for name, g in grads.items()}
        optimizer.step(grads)
        for name, g in grads.items():
            expected[name] = rule(expected[name], g.astype(np.float64), memory[name], t)
            assert np.allclose(params[name], expected[name], atol=tolerance, rtol=0), name
            assert params[name] is arrays[name]  # in place
            assert np.array_equal(g, kept[name])
    assert optimizer.updates == STEPS


def test_defaults_are_those_of_train():
    params = {"p": np.zeros(1)}
    for kind, name in ((optim.SGD, "sgd"), (optim.AdaGrad, "adagrad"), (optim.RMSProp, "rmsprop"),
                       (optim.Adam, "adam")):
        corpus = fastrnn.Corpus.from_text("abcd" * 20)
        trainer = fastrnn.Trainer(fastrnn.Model(corpus.vocabulary), corpus, optimizer=name)
        assert kind(params).learning_rate == trainer.config["learning_rate"]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_gradient_and_the_least_epsilon(isa, dtype, inside):
    """A zero gradient over a zero memory is no step, not 0 / 0."""
    params = {"p": np.ones(37, dtype)}
    for make in (optim.AdaGrad, optim.RMSProp):
        make(params, epsilon=1e-30, epsilon_inside=inside).step({"p": np.zeros(37, dtype)})
    optim.Adam(params, epsilon=1e-30).step({"p": np.zeros(37, dtype)})
    assert (params["p"] == 1).all()


def test_a_model_and_a_layer_by_hand():
    """The same steps as Trainer's, by loss_and_gradients and an optimizer."""
    corpus = fastrnn.Corpus.from_text("to be or not to be, that is the question " * 4)
    sizes = dict(cell="gru", hidden_size=5, dtype="float64", init_scale=0.5)
    model, mine = (fastrnn.Model(corpus.vocabulary, **sizes) for _ in range(2))
    trainer = fastrnn.Trainer(model, corpus, seq_length=6, optimizer="adam", learning_rate=0.01,
                              clip_value=None, clip_norm=0.4, progress=False)
    trainer.run(updates=3)
    optimizer = optim.Adam(mine.params, 0.01)
    state = None
    for start in (0, 6, 12):
        window = corpus.ids[None, start : start + 7]
        _, grads, state = mine.loss_and_gradients(window[:, :-1], window[:, 1:], state)
        optim.clip_norm_(grads, 0.4)
        optimizer.step(grads)
    assert np.allclose(mine.block, model.block, atol=1e-14)


def test_a_layer_learns_to_be_another():
    rng = np.random.default_rng(0)
    teacher, student = nn.RNN(3, 4, seed=1), nn.RNN(3, 4, seed=2)
    optimizer, loss = optim.Adam(student.params, 0.02), nn.MeanSquaredError()
    losses = []
    for _ in range(300):
        x = rng.normal(size=(20, 5, 3))
        losses.append(loss.forward(student.forward(x), teacher.forward(x)))
        student.backward(loss.backward())
        optimizer.step(student.grads)
    assert losses[-1] < 0.01 * losses[0]


def test_clip_value():
    grads = {"a": np.array([-7.0, 0.5, 3.0]), "b": np.array([[2.0, -2.5]])}
    arrays = dict(grads)
    optim.clip_value_(grads, 2.0)
    assert grads["a"].tolist() == [-2.0, 0.5, 2.0] and grads["b"].tolist() == [[2.0, -2.0]]
    assert all(grads[name] is arrays[name] for name in grads)


def test_clip_norm():
    grads = {"a": np.array([3.0, 0.0]), "b": np.asfortranarray([[0.0, 4.0], [12.0, 0.0]])}
    assert optim.clip_norm_(grads, 20.0) == 13.0
    assert grads["a"].tolist() == [3.0, 0.0]
    assert optim.clip_norm_(grads, 6.5) == 13.0
    assert np.allclose(grads["a"], [1.5, 0]) and np.allclose(grads["b"], [[0, 2], [6, 0]])


@pytest.mark.parametrize(("dtype", "huge"), [("float32", 1e30), ("float64", 1e200)])
def test_clip_norm_where_squares_overflow(dtype, huge):
    grads = {"a": np.array([3 * huge, 0], dtype),
             "b": np.array([4 * huge], dtype)}
    assert optim.clip_norm_(grads, 10.0) == pytest.approx(5 * huge, rel=1e-6)
    assert np.allclose(grads["a"], [6, 0]) and np.allclose(grads["b"], [8])
    for wrong in (np.nan, np.inf):
        grads = {"a": np.ones(2, dtype), "b": np.array([wrong], dtype)}
        with pytest.raises(ValueError, match="grads have NaN or infinity"):
            optim.clip_norm_(grads, 1.0)
        assert grads["a"].tolist() == [1, 1]


def test_bad_input():
    params = {"W": np.ones((2, 3))}
    optimizer = optim.AdaGrad(params)
    with pytest.raises(ValueError, match="grads has no 'W': call backward first"):
        optimizer.step({})
    with pytest.raises(ValueError, match=r'grads\["W"\] has the shape \(3, 2\) and must have'):
        optimizer.step({"W": np.ones((3, 2))})
    with pytest.raises(TypeError, match="float32 or float64"):
        optim.SGD({"W": np.ones(3, np.float16)})
    for wrong in (0, -1, np.nan):
        with pytest.raises(ValueError, match="learning_rate must be"):
            optim.Adam(params, wrong)
        with pytest.raises(ValueError, match="c must be"):
            optim.clip_norm_(params, wrong)
    with pytest.raises(ValueError, match="momentum must be"):
        optim.SGD(params, momentum=1.0)
    for epsilon in (0, 1e-31, 2, np.inf):
        with pytest.raises(ValueError, match="epsilon must be"):
            optim.Adam(params, epsilon=epsilon)
    with pytest.raises(TypeError, match="epsilon_inside must be True or False"):
        optim.RMSProp(params, epsilon_inside="no")
    with pytest.raises(ValueError, match="weight_decay must be"):
        optim.SGD(params, weight_decay=-0.1)
    assert np.array_equal(params["W"], np.ones((2, 3))) and optimizer.updates == 0

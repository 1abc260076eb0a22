"""What is done with a file that may be hostile: everything that fastrnn offers."""
import contextlib
import io
import os

import numpy as np
from seeds import layers_and_optimizer

import fastrnn
from fastrnn import cli
from fastrnn.cli import info

REFUSED = (ValueError, OSError)
DIVERGED = (*REFUSED, FloatingPointError)  # while it runs


class Fault(Exception):
    """A use of a file did what it must not do."""


def attempt(name, use, allowed=REFUSED, path=None):
    """The result of a use, or None where it was refused; raises Fault for another exception, or for
    a message that does not name the file at `path`."""
    try:
        return use()
    except allowed as error:
        if path is not None and os.path.basename(path) not in str(error):
            raise Fault(f"{name}: the message does not name the file: {error}") from error
    except Exception as error:
        raise Fault(f"{name}: {type(error).__name__}: {str(error)[:200]}") from error
    return None


def quiet(call, *arguments):
    """The result of a call whose output is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return call(*arguments)


def use(path, seed, rng):
    """Open the file in the ways of its kind, and use what could be opened; returns whether it
    could. What takes long is done with some files only. Raises Fault."""
    if seed.network:
        return use_network(path, rng)
    if seed.state:
        return use_state(path)
    model = attempt("load", lambda: fastrnn.load(path), path=path)
    if model is None and rng.random() < 0.9:
        return False  # the others begin in the same way
    if rng.random() < 0.5:
        attempt("info", lambda: quiet(
            info.run, path, rng.random() < 0.5, rng.random() < 0.5), path=path)
    if model is not None:
        use_model(model, path, seed, rng)
    if rng.random() < 0.5:
        resumed = attempt("resume", lambda: fastrnn.Trainer.from_checkpoint(
            path, seed.source, progress=False, threads=1, valid=seed.valid), path=path)
        if resumed is not None:
            use_trainer(resumed, path, rng)
    if rng.random() < 0.1:
        attempt("best", lambda: fastrnn.load(path, best=True), path=path)
        attempt("another kind", lambda: fastrnn.EchoStateNetwork.load(path), path=path)
    if rng.random() < 0.004:
        use_elsewhere(path, seed)
    return model is not None


def use_model(model, path, seed, rng):
    label = (model.config["labels"] or [None])[0]
    seeded = {"seed": 1, "label": label}
    attempt("repr", lambda: repr((model, model.history, model.sizes, model.vocabulary)), ())
    if model.vocabulary is None:
        attempt("score", lambda: model.score(seed.source), DIVERGED)
        attempt("predict", lambda: model.predict(seed.source), DIVERGED)
    else:
        attempt("sample", lambda: model.sample(6, **seeded))
        attempt("score", lambda: model.score(seed.text, label=label), DIVERGED)
    if rng.random() < 0.2:
        attempt("copy", model.copy)
        attempt("sample 2", lambda: model.sample(3, n=2, temperature=0.5, top_k=2, **seeded))
        attempt("novelty", lambda: model.novelty(["ab", "cd"]))
        attempt("rank", lambda: model.rank_labels(seed.text))
        attempt("rank with a prior", lambda: model.rank_labels(seed.text, prior="training"))
        attempt("new only", lambda: model.sample(3, n=2, new_only=True, **seeded))
        saved_again(model, path)


def saved_again(model, path):
    """What was loaded can be saved, and what was saved can be loaded."""
    attempt("save", lambda: model.save(f"{path}.2"), ())
    again = attempt("reload", lambda: fastrnn.load(f"{path}.2", best=False), ())
    shown = model.averaged_model() if isinstance(model, fastrnn.Trainer) else model
    if not np.array_equal(again.block, shown.block, equal_nan=True):
        raise Fault("save: other numbers came back")


def use_trainer(trainer, path, rng):
    attempt("run", lambda: trainer.run(updates=rng.choice((1, 3))), DIVERGED)
    attempt("repr", lambda: repr((trainer, trainer.history)), ())
    if trainer.model.vocabulary is not None:
        attempt("its sample", lambda: trainer.sample(5))
    if rng.random() < 0.3:
        attempt("run on", lambda: trainer.run(updates=45), DIVERGED)
        saved_again(trainer, path)
        best = trainer.best_model()
        if best.vocabulary is not None:
            label = (best.config["labels"] or [None])[0]
            attempt("sample the best", lambda: best.sample(5, seed=1, label=label))


def use_elsewhere(path, seed):
    """The calls that open the file by themselves, and the command line."""
    shown = {"progress": False, "threads": 1}
    own = {"valid": seed.valid}
    attempt("train resume", lambda: fastrnn.train(
        seed.source, resume=path, checkpoint=f"{path}.3", updates=115, **shown, **own),
            DIVERGED)
    attempt("train init_from", lambda: fastrnn.train(
        seed.source, init_from=path, preset="classic", updates=2, **shown), DIVERGED)
    attempt("train repeat", lambda: fastrnn.Trainer.repeating(
        path, seed.source, **shown, **own))
    for arguments in (["info", path], ["info", path, "--toml"],
                      ["sample", path, "--length", "5", "--seed", "1"],
                      ["score", path, __file__], ["train", __file__, "--resume", path]):
        if attempt(f"fastrnn {arguments[0]}", lambda a=arguments: quiet(cli.main, a), ()) \
                not in (0, 2):
            raise Fault(f"fastrnn {arguments} ended with another status")


def use_state(path):
    """Load layers and an optimizer from the file: wholly or not at all."""
    state = attempt("load_state", lambda: fastrnn.nn.load_state(path), path=path)
    attempt("load of a state", lambda: fastrnn.load(path), path=path)
    if state is None:
        return False
    for target, name in zip(layers_and_optimizer()[:2], ("network", "optimizer"), strict=True):
        attempt(name, lambda target=target, name=name: target.load_state_dict(state[name]),
                (ValueError, TypeError, KeyError))
    return True


def use_network(path, rng):
    """An EchoStateNetwork; returns whether it could be opened."""
    network = attempt("load", lambda: fastrnn.EchoStateNetwork.load(path), path=path)
    if network is None:
        return False
    D, K = network.n_features_in_, len(network.Wout_)
    attempt("predict", lambda: network.predict(np.ones((20, D))), DIVERGED)
    attempt("generate", lambda: network.generate(5, np.ones((20, D))), DIVERGED)
    attempt("states", lambda: network.states(np.ones((5, D))), DIVERGED)
    attempt("score", lambda: network.score(np.ones((30, D)), np.ones((30, K)), warmup=3), DIVERGED)
    if rng.random() < 0.7:
        return True
    attempt("save", lambda: network.save(f"{path}.2"), ())
    again = attempt("reload", lambda: fastrnn.EchoStateNetwork.load(f"{path}.2"), ())
    if not np.array_equal(again.Wout_, network.Wout_):
        raise Fault("save: other numbers came back")
    attempt("as a model", lambda: fastrnn.load(path), path=path)
    attempt("info", lambda: info.run(path, False, False), path=path)
    return True

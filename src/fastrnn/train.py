"""From a text or sequences to a trained model in one call."""

import contextlib
import os
import warnings
from typing import Any, Unpack

from . import recipe
from .data import controls
from .data.corpus import Corpus
from .data.files import STDIN, instead
from .data.source import Source
from .files.store import existing
from .model.model import Model
from .presets import PLAN, PRESETS
from .screen import show
from .settings import (
    NOT_STORED,
    ModelSettings,
    TrainerSettings,
    TrainSettings,
    checked,
    documented,
    given_to,
)
from .training.checkpoint import read
from .training.configuration import check_plan
from .training.describing import describe
from .training.following import Together
from .training.interrupts import Interrupts
from .training.starting import start_from
from .training.trainer import Trainer

# settings that may differ when a run is resumed or repeated
SHOWN = ("threads", "progress", "checkpoint", "overwrite", "checkpoint_every", "callback",
         "callback_every", "log", "tensorboard", "on_event", "log_every", "sample_every",
         "samples_at", "sample_length", "valid", "teacher")  # the last two by their fingerprints
FREE = (*PLAN, "patience", "on_divergence", *SHOWN)


@documented(TrainSettings)
def train(source: str | os.PathLike[str] | Source, **settings: Unpack[TrainSettings]) -> Model:
    """Train a model on a text, records or sequences; returns the last model, or with validation
    data the one with the lowest validation loss; with weight_average its averaged parameters.

    What is not given is chosen: cell and size, batch, windows, optimizer, schedule, dropout, dtype
    and validation data for this source, so that the training takes at most a minute on this machine
    (with `minutes` at most as long as that says). The choice is shown, and is in ``model.config``
    and the checkpoint. `preset` names fixed settings instead: ``preset="classic"`` is the character
    model of karpathy's min-char-rnn and KTH's DD2424. The defaults listed below are its settings,
    which `fastrnn.Model` and `fastrnn.Trainer` have too.

    Ctrl-C ends the training early: the checkpoint is written if there is one, and the model so far
    (with validation data the best so far) is returned, with
    ``model.history.stopped == "interrupted"``.

    Parameters
    ----------
    source : str, path-like, list of them, Corpus or Sequences
        A UTF-8 text file; several, or a folder of .txt files, as one text; "-", standard input (see
        `Corpus.from_file`); or a corpus of a text or of records; or sequences of symbols or numbers
        with their targets. An epoch reads records and sequences whole, each from the zero state, in
        a new random order; long sequences with a `seq_length` below their steps (which is chosen
        where few are long) as a text, in windows from left to right with the state carried from one
        to the next.
    **settings
        `TrainSettings`.

    Returns
    -------
    Model
        ``model.history`` holds the loss of every update.

    Raises
    ------
    FileNotFoundError
        No file has this name; for a text itself use ``fastrnn.Corpus.from_text``.
    ValueError, TypeError
        A text too short or of one distinct symbol, fewer sequences than batch_size, a preset for
        another kind of source, or an argument outside its range.
    OSError
        The text cannot be read, or the checkpoint cannot be written.
    DivergenceError
        The loss is no longer finite, or far above that of guessing; it is a FloatingPointError.
    """
    given: dict[str, Any] = dict(settings)
    config = check(given)
    ways = [name for name in ("preset", "init_from", "resume", "repeat") if config[name]]
    if len(ways) > 1 and ways != ["preset", "init_from"]:
        raise ValueError(f"give one of preset, init_from, resume and repeat, not {ways[0]} and "
                         f"{ways[1]}")
    given = {name: config[name] for name in given if name not in ways}
    same = {name: value for name, value in settings.items() if name not in SHOWN}
    with Together(source, same) as ranks:
        if ranks.follows:
            model: Model = ranks.follow()
            return model
        with Interrupts(config["progress"]) as interrupted:  # also while settings are chosen
            if config["resume"] is not None:
                trainer, note = _resumed(source, config["resume"], given)
            elif config["repeat"] is not None:
                trainer, note = _repeated(source, config["repeat"], given)
            else:
                trainer, note = _started(source, config["preset"], config["init_from"], given)
            if trainer.progress:
                show(describe(trainer, note), needed=False)
            try:
                trainer.run()
            except KeyboardInterrupt:
                show(f"\ninterrupted after {trainer.update} updates", error=True)
        with contextlib.suppress(KeyboardInterrupt):  # the model so far is returned
            interrupted.deliver()
        return ranks.result(trainer.best_model() if trainer.history.valid_loss.size
                            else trainer.averaged_model())


def check(given: dict[str, Any]) -> dict[str, Any]:
    """All settings, checked as far as they can be without the data."""
    config = checked(TrainSettings, given, "train")
    if config["preset"]:
        whole = PRESETS[config["preset"]].beside({name: config[name] for name in given})
    elif config["valid"] is not None or "valid_fraction" in given:
        whole = {}
    else:
        whole = {"valid_fraction": 0.1}
    if config["schedule_end"] and given.get("schedule") == "constant":
        raise ValueError("schedule_end is for schedule='cosine', and this learning rate does not "
                         "fall: leave schedule_end out")
    check_plan(config | whole, whole=not (config["resume"] or config["repeat"]))
    return config


def _started(source: str | os.PathLike[str] | Source, name: str | None,
             earlier: str | os.PathLike[str] | None,
             given: dict[str, Any]) -> tuple[Trainer, str]:
    """A new run, and where its settings come from."""
    preset, named = PRESETS[name] if name else None, given.keys()
    if earlier is not None:
        corpus, model, new = start_from(earlier, source, given)
        start = f"the weights of {os.fspath(earlier)}, {new}; "
        given = model.config | {"learning_rate": 1e-3} | given
    else:
        how = preset.reading if preset and preset.kind == "text" else {}
        corpus, start = read_source(source, **how), ""
    strange = controls.note(corpus)
    if strange is not None:  # before trials of settings
        warnings.warn(strange, stacklevel=3)
    if preset:
        preset.check(corpus.kind)
        settings, why = preset.beside(given, corpus.kind), f"preset {name}: {preset.source}"
    else:
        settings, why = recipe.choose(corpus, given)
    if earlier is None:
        for_model = {"labels": list(corpus.labels) or None} | given_to(ModelSettings, settings)
        model = Model(corpus.vocabulary or corpus.sizes, **for_model)
    trainer = Trainer(model, corpus, **given_to(TrainerSettings, settings))
    stored = settings.keys() - NOT_STORED
    trainer.origin = {"given": sorted(stored & named), "chosen": sorted(stored - named),
                      "preset": name, "note": start + why.partition(" (measured")[0]}
    return trainer, start + why


def read_source(source: Any, **how: Any) -> Source:
    """The source, read if it is a path, in the words of `train`."""
    if isinstance(source, Source):
        return source
    if isinstance(source, list | tuple) and source and all(
            isinstance(part, str | os.PathLike) for part in source):
        texts = [part for part in source
                 if isinstance(part, str) and part != STDIN and not os.path.exists(part)]
        if not texts:
            return Corpus.from_file(source, **how)
        raise TypeError(f"train takes a list of files, and {texts[0][:40]!r} is none: check the "
                        "paths; for names or messages use fastrnn.Corpus.from_records(texts), for "
                        'one text fastrnn.Corpus.from_text("\\n".join(texts))')
    if isinstance(source, str | bytes | os.PathLike):
        return Corpus.from_file(source, **how)  # type: ignore[arg-type]
    raise TypeError("train takes the path of a text, a folder or a list of paths, a Corpus or "
                    f"Sequences, not {type(source).__name__}: {instead(source)}")


def _resumed(source: Any, path: str | os.PathLike[str],
             given: dict[str, Any]) -> tuple[Trainer, str]:
    """The trainer that wrote a checkpoint, with the given settings where they may differ."""
    corpus, changes = _as_before(source, path, given, FREE, "go on")
    changes.setdefault("checkpoint", existing(path))
    trainer = Trainer.from_checkpoint(path, corpus, **changes)
    if trainer.is_over:
        more = 2 * (trainer.config["minutes"] or trainer.planned or 1)
        name = "minutes" if trainer.config["minutes"] else "updates"
        warnings.warn(f"the run in {os.fspath(path)!r} is finished, after {trainer.update} "
                      f"updates: to go on, give a longer one, such as {name}={more:g}",
                      stacklevel=3)
    return trainer, f"those of {os.fspath(path)}, after {trainer.update} updates"


def _repeated(source: Any, path: str | os.PathLike[str],
              given: dict[str, Any]) -> tuple[Trainer, str]:
    """A trainer that makes the run of a checkpoint again."""
    corpus, changes = _as_before(source, path, given, SHOWN, "be repeated")
    return Trainer.repeating(path, corpus, **changes), f"those of {os.fspath(path)}, repeated"


def _as_before(source: Any, path: str | os.PathLike[str], given: dict[str, Any],
               free: tuple[str, ...], what: str) -> tuple[Source, dict[str, Any]]:
    """The data of a checkpoint's run, and the given settings, which may differ if they are `free`;
    ValueError if another differs."""
    model, _, about = read(path)
    corpus = source if isinstance(source, Source) else read_source(
        source, vocabulary=model.text_vocabulary)
    stored = about["model"] | about.get("trainer", {}).get("config", {})
    for name, value in given.items():
        if name not in free and value != stored.get(name):
            raise ValueError(f"{str(path)!r} was made with {name}={stored.get(name)!r} and cannot "
                             f"{what} with {value!r}: leave {name} out, or start afresh")
    return corpus, {name: value for name, value in given.items() if name in free}

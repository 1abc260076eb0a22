"""Is a model any good? Its loss beside those of simple models on the same symbols."""

import math
from dataclasses import dataclass
from typing import Any

from ..data.corpus import Corpus
from ..data.source import Source
from ..model.model import Model
from .baselines import READ, explained, simple_models
from .figures import split_of
from .published import Known, known

OWN = "this model"
TENTH = 0.1  # is scored of a text that the model does not know


@dataclass(frozen=True)
class Row:
    """The loss of one model: its mean in nats and in bits per predicted symbol, in bits per
    predicted character, and what the model is."""

    name: str
    nats: float
    bits: float
    bits_per_character: float
    what: str


@dataclass(frozen=True)
class Comparison:
    """Attributes
    ----------
    rows : tuple of Row
        This model and the simple ones, the largest loss first.
    unit : str
        What one symbol is: "char", "word", "byte" or "token".
    scored, learned, model_learned : str
        What was scored, what the simple models learned from, and what this model did.
    predictions, characters : int
        Predicted symbols, and the characters of these; the stop symbol of a record counts as one,
        and so does the blank before a word.
    published : Known or None
        Published figures of the text, where it is known for them.
    """

    rows: tuple[Row, ...]
    unit: str
    scored: str
    learned: str
    model_learned: str
    predictions: int
    characters: int
    published: Known | None

    @property
    def own(self) -> Row:
        """The row of this model."""
        return next(row for row in self.rows if row.name == OWN)


def compare(model: Model, data: Corpus, train: Corpus | None = None) -> Comparison:
    """A model's loss beside those of simple models, on the same symbols: a uniform guess, unigrams,
    5-grams, PPM and xz. What the simple models learn from does not overlap with what is scored:

    * `data` are what the model was trained on: its validation data are scored, and the simple
      models learn from the training part.
    * `train` is given: all of `data` is scored, and the simple models learn from `train`; if the
      model was validated on a part of it, then from the other part.
    * Otherwise the last tenth of `data` is scored (of records a random tenth), and the simple
      models learn from the rest, which the model does not know.

    None of them, but for xz, learns from what is scored.

    Parameters
    ----------
    model : Model
        A model of a text or of records.
    data : Corpus
        With the vocabulary of the model.
    train : Corpus, optional
        What the model was trained on.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        Data that are no Corpus, or that the model cannot read; a model that was trained on all of
        `data`; a `train` that is not what the model was trained on.
    """
    for name, source in ("data", data), ("train", train):
        if not isinstance(source, Source) and (source is not None or name == "data"):
            raise TypeError(f"{name} must be a Corpus, not {type(source).__name__}")
        if source is not None:
            model.check(source)
    learned, held, words = _parts(model, data, train)
    found = simple_models(learned, held) | {OWN: model.score(held)}
    scored, read, own = words
    if learned.vocabulary.stop is None and len(learned) > READ:
        read += f", its last {READ:,} symbols"
    what = explained(held) | {OWN: f"{model.config['cell']}, {model.block.size:,} parameters"}
    count, characters = held.predictions, characters_of(held)
    rows = tuple(Row(name, found[name], found[name] / math.log(2),
                     found[name] / math.log(2) * count / characters, what[name])
                 for name in sorted(found, key=lambda name: -found[name]))
    return Comparison(rows, held.unit, scored, read, own, count, characters,
                      known(data) or (None if train is None else known(train)))


def characters_of(held: Corpus) -> int:
    """The characters of the predicted symbols; a record's stop symbol counts as one, and so does
    the blank before each word."""
    decode = held.vocabulary.decode
    if held.vocabulary.stop is not None:
        return sum(len(decode(ids[1:-1])) + 1 for ids in held.pieces())
    return len(decode(held.ids[1:])) + (held.unit == "word")


def _parts(model: Model, data: Corpus, train: Corpus | None) -> tuple[
        Corpus, Corpus, tuple[str, str, str]]:
    """What the simple models learn from, what is scored, and in words: what is scored, what they
    learned from, and what the model did."""
    run: dict[str, Any] | None = model.run
    trained = None if run is None else run["text"]["name"]
    if run is not None and data.fingerprint() == run["text"]["fingerprint"]:
        if train is not None:
            raise ValueError(f"{data.name} is what the model was trained on: leave the training "
                             "text out, and the validation data are scored")
        held = None if run["valid"] else split_of(model, data).held
        if held is None:
            raise ValueError(f"the model was trained on all of {data.name}, so that its loss there "
                             "says little: score a text that it does not know, and give "
                             f"{data.name} as the training text")
        rest = split_of(model, data).train
        return _corpora(rest, held, f"the validation data in {data.name}",
                        f"the training part of {data.name}", "from the same part")
    if train is None:
        rest, held = data.hold_out(TENTH, 0)
        which = "the last tenth of" if data.vocabulary.stop is None else "a random tenth of"
        unknown = "it is not known from what: if from this text, its loss here is too low"
        return _corpora(rest, held, f"{which} {data.name}", f"the other nine tenths of {data.name}",
                        unknown if trained is None else f"from {trained}, not from this text")
    if data.fingerprint() == train.fingerprint():
        raise ValueError(f"{data.name} is both what is scored and what is learned from: give two "
                         "texts, or leave the training text out")
    if run is None:
        return _corpora(train, data, data.name, train.name, "it is not known from what")
    if train.fingerprint() != run["text"]["fingerprint"]:
        raise ValueError(f"the model was trained on {trained!r}, and {train.name!r} is not the "
                         f"same {train.kind}: give the same data, read in the same way")
    if run["valid"]:
        return _corpora(train, data, data.name, train.name, "from the same text")
    split = split_of(model, train)
    part = train.name if split.held is None else f"the training part of {train.name}"
    return _corpora(split.train, data, data.name, part, "from the same text")


def _corpora(train: Any, held: Any, *words: str) -> tuple[Corpus, Corpus, tuple[str, str, str]]:
    scored, learned, model_learned = words
    return train, held.unweighted(), (scored, learned, model_learned)

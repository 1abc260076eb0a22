"""Start from a trained model's weights on other data."""

import os
from collections.abc import Mapping
from typing import Any

from ..data.corpus import Corpus
from ..data.scaling import Scaling
from ..data.source import Source
from ..model.model import Model
from ..settings import ModelSettings, given_to
from .checkpoint import load

OWN = ("dropout", "weight_drop", "seed")  # settings of a model that another training may choose


def start_from(
    path: str | os.PathLike[str], source: Any, given: Mapping[str, Any]
) -> tuple[Source, Model, str]:
    """The data, a model with the network and weights of the one in a file, and a sentence about
    what is new in it.

    Symbols and labels that the earlier model does not know get new, randomly initialized rows;
    those that the new text does not have stay. ValueError for data of another kind, or a given
    setting of the network that differs from the file's."""
    earlier = load(path)
    for name, value in given_to(ModelSettings, dict(given)).items():
        if name not in OWN and value != earlier.config.get(name):
            raise ValueError(f"init_from: {os.fspath(path)!r} has {name}="
                             f"{earlier.config.get(name)!r}, not {value!r}: leave {name} out, or "
                             "train without init_from")
    own = {name: given[name] for name in OWN if name in given}
    if earlier.vocabulary is None:
        if not isinstance(source, Source):
            raise ValueError(f"init_from: {os.fspath(path)!r} is a model of sequences, not of text")
        source.check_fits(None, earlier.sizes, None)
        model = Model(earlier.sizes, reservoir=earlier.reservoir, **earlier.config | own)
        model.block[:], model.scaling = earlier.block, earlier.scaling or Scaling()
        return source, model, "the same sizes"
    if not isinstance(source, Source):
        own_words = earlier.vocabulary.unit == "word"
        source = Corpus.from_file(source, vocabulary=earlier.vocabulary) \
            if earlier.vocabulary.unit == "bpe" else Corpus.from_file(
                source, earlier.vocabulary.unit, **{
                    name: getattr(earlier.vocabulary, name)
                    for name in ("split", "lower") if own_words})
    corpus = source.with_symbols_of(earlier.vocabulary)
    known = earlier.config["labels"] or []
    labels = [*known, *(label for label in corpus.labels if label not in known)] or None
    if labels and not known:
        raise ValueError(f"init_from: {corpus.name} has labels, and the model in "
                         f"{os.fspath(path)!r} has none: give records without labels")
    model = Model(corpus.vocabulary, reservoir=earlier.reservoir,
                  **earlier.config | {"labels": labels} | own)
    for name, p in earlier.params.items():  # known symbols and labels come first
        model.params[name][tuple(map(slice, p.shape))] = p
    new = corpus.vocabulary.symbols[len(earlier.vocabulary) :]
    more = labels[len(known) :] if labels else []
    said = (f"{len(new)} new symbols, not yet trained: {' '.join(map(repr, new[:10]))}"
            f"{' ...' * (len(new) > 10)}" if new else "no new symbols")
    return corpus, model, said + (f"; new labels: {', '.join(more)}" if more else "")

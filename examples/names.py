"""First names of a country: the memory cell of the names homework, LSTMs and a letter trigram.

    python examples/names.py                              # about a minute
    python examples/names.py TABLE --country Iran --name Jasmin

TABLE has a name and its country in each row (TSV or CSV). Without it the names come from
data/names.tsv or $FASTRNN_DATA/names.tsv where there is such a file; else from the lists of the
Faker package (pip install "fastrnn[examples]") for seven countries; else they are the surnames of
the data set "names", downloaded, or else made up of syllables. Prints for each kind
of model: the loss on held-out names, beside that of the same model without countries; how often the
right country is ranked first, beside a smoothed trigram of letters, both with the frequency of each
country as its prior probability; 30 names of a country, 30 sampled at a low temperature, 30 of a
mixture of two countries, new ones; and the countries of a given name with probabilities and losses.
The LSTM is trained five times: their average is right more often than any one of them.
"""

import argparse
import importlib
import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import common
import numpy as np

import fastrnn

COUNTRIES = {  # Faker's locale -> country
    "nl_NL": "Netherlands", "fa_IR": "Iran", "fr_FR": "France", "pl_PL": "Poland",
    "zh_CN": "China", "it_IT": "Italy", "es_CL": "Chile",
}
MODELS = {
    # as in the homework: binary cross-entropy of the softmax outputs, dropout
    "memory": {"cell": "memory", "loss": "binary_cross_entropy", "hidden_size": 128,
               "dropout": 0.2, "init": "uniform", "learning_rate": 2e-3, "epochs": 60,
               "valid_fraction": 0.1, "patience": 8},
    # chosen on the held-out names of the seeds 10 to 18
    "lstm": {"cell": "lstm", "hidden_size": 256, "dropout": 0.8, "learning_rate": 3e-3,
             "schedule": "cosine", "epochs": 11},
}
LETTERS = 30  # of the longest name
# what names of three countries often begin and end with, for a machine without any list of names
SYLLABLES = {
    "Netherlands": ("Jo Han Ma Kee Wil Hen Ger Ank Mar Lie Die", "ke tje nneke hanna drik s tte"),
    "Poland": ("Jo Jad Kazi Mał Woj Bog Sta Zo Agnie Kry Mi", "sław mierz szka wiga na usz dan"),
    "Italy": ("Jo Gio Fran Lo Mar Giu Vin Al Ro Be Car", "vanni cesco renzo lia cella berto na"),
}


def main() -> None:
    parser = common.parser(
        "First names of a country.", name=("Johanna", "to rank"),
        models=(5, "LSTMs whose losses are averaged"), threads=None, seed=0)
    parser.add_argument("--hidden-size", type=int, help="default: 128 of the memory cell, and 256 "
                        "of the LSTM")
    parser.add_argument("--epochs", type=int, help="default: 60 of the memory cell, with early "
                        "stopping, and 11 of the LSTM")
    parser.add_argument("table", metavar="TABLE", nargs="?", help="names and countries")
    parser.add_argument("--country", help='default: Netherlands, in the data set "names" Dutch')
    parser.add_argument("--second", help="the other country of the mixture (default: Poland, in "
                        'the data set "names" Polish)')
    common.run(compare, parser)


def compare(options: argparse.Namespace) -> None:
    everything = names(options.table)
    records = everything.records
    first, second = ("Dutch", "Polish") if "Dutch" in records.names else ("Netherlands", "Poland")
    options.country, options.second = options.country or first, options.second or second
    for country in (options.country, options.second):
        if country not in records.names:
            raise ValueError(f"{everything.name} has no names from {country!r}: it has "
                             f"{', '.join(records.names)}")
    everything.vocabulary.encode_record(options.name)
    texts = np.array([everything.vocabulary.decode(ids[1:-1]) for ids in everything.pieces()])
    labels = np.array(records.names)[records.labels]
    order = np.random.default_rng(options.seed).permutation(len(texts))
    held_out, rest = order[: len(order) // 10], order[len(order) // 10 :]

    def corpus(rows, with_labels=True):
        return fastrnn.Corpus.from_records(
            texts[rows].tolist(), labels[rows].tolist() if with_labels else None,
            vocabulary=everything.vocabulary, name="names")

    counts = np.bincount(records.labels, minlength=len(records.names))
    common.show(f"{len(texts):,} names: " + ", ".join(
        f"{name} {count}" for name, count in zip(records.names, counts, strict=True)))
    several = everything.ambiguous()
    common.show(f"{len(several)} names stand in several countries" + ", such as " * bool(several)
                + "; ".join(f"{name}: {', '.join(its)}" for name, its in [*several.items()][:3]))
    most = (labels[held_out] == records.names[counts.argmax()]).mean()
    common.show(f"{len(held_out)} of them held out; the most frequent country is right for "
                f"{most:.1%} of these\n")
    # how often each country comes in training: what prior="training" takes
    prior = {country: np.mean(labels[rest] == country) for country in records.names}
    trigram = Trigram(texts[rest], labels[rest], len(everything.vocabulary))
    tests = list(zip(texts[held_out], labels[held_out], strict=True))
    by_trigram = f"the trigram of letters {right(trigram.losses, tests, prior):.1%}"
    for title, settings in MODELS.items():
        began = time.perf_counter()
        models = [learn(corpus(rest), settings, options, i)
                  for i in range(options.models if title == "lstm" else 1)]
        without = learn(corpus(rest, False), settings, options, progress=False)
        common.show(f"==== {title}: {fastrnn.parameter_count(models[0]):,} parameters, "
                    f"{time.perf_counter() - began:.1f} s for {len(models) + 1} models ====")
        common.show("loss on the held-out names: "
                    f"{models[0].score(corpus(held_out)):.4f} nats per letter, without countries "
                    f"{without.score(corpus(held_out, False)):.4f}")
        together = fastrnn.average(models)
        accuracy = right(lambda name, together=together: losses(together, name), tests, prior)
        by = f"{len(models)} models together" if len(models) > 1 else "the model"
        common.show(f"right country ranked first: {by} {accuracy:.1%}, {by_trigram} of the "
                    "held-out names")
        show(models[0], options)
        for i, model in enumerate(models):
            common.save_model(model, options, title + (f"-{i + 1}" if len(models) > 1 else ""))
        common.show("")


def learn(corpus, settings, options, number=0, progress=True) -> fastrnn.Model:
    """The model of a kind; others of a kind start from other weights, and show no progress."""
    given = {name: getattr(options, name) for name in ("hidden_size", "epochs")
             if getattr(options, name) is not None}
    return fastrnn.train(
        corpus, preset="classic", batch_size=32, optimizer="adam", clip_norm=5.0, clip_value=None,
        sample_every=0, threads=options.threads,
        seed=100 * options.seed + number, progress=progress and not number, **settings | given)


def losses(ranker, name) -> dict[str, float]:
    """The loss of a whole name with each country, in nats, by a model or an average of some."""
    return {ranked.label: ranked.total for ranked in ranker.rank_labels(name)}


def right(losses, tests, prior) -> float:
    """The fraction of names whose own country is the most probable, by Bayes' rule: the one of the
    smallest loss - log prior."""
    hits = 0
    for name, country in tests:
        loss = losses(name)
        hits += country == min((c for c in loss if prior[c]),
                               key=lambda c: loss[c] - math.log(prior[c]))
    return hits / len(tests)


class Trigram:
    """For each country the probability of a letter after the two before it, smoothed with those
    after one and after none (Witten and Bell 1991): what a network has to be better than."""

    def __init__(self, texts, labels, symbols: int) -> None:
        self.symbols = symbols
        self.counts = {country: defaultdict(Counter) for country in set(labels)}
        for name, country in zip(texts, labels, strict=True):
            for before, letter in self.steps(name):
                for k in range(3):
                    self.counts[country][before[2 - k :]][letter] += 1

    @staticmethod
    def steps(name: str) -> Iterator[tuple[str, str]]:
        """Each letter, and the end, with the two symbols before it."""
        padded = f"\x02\x02{name}\x03"
        return ((padded[i - 2 : i], padded[i]) for i in range(2, len(padded)))

    def losses(self, name: str) -> dict[str, float]:
        """The loss of a whole name with each country, in nats."""
        return {country: -sum(math.log(self.probability(counts, *step))
                              for step in self.steps(name))
                for country, counts in self.counts.items()}

    def probability(self, counts, before: str, letter: str) -> float:
        p = 1 / self.symbols
        for k in range(3):
            seen = counts.get(before[2 - k :], {})
            kinds, total = len(seen), sum(seen.values())
            if total:
                p = (seen[letter] + kinds * p) / (total + kinds)
        return p


def show(model: fastrnn.Model, options: argparse.Namespace) -> None:
    mixture = {options.country: 0.5, options.second: 0.5}
    for title, settings in (
        (options.country, {"label": options.country}),
        (f"{options.country}, temperature 0.5", {"label": options.country, "temperature": 0.5}),
        (f"half {options.country}, half {options.second}", {"label": mixture}),
        (f"{options.country}, new", {"label": options.country, "new_only": True}),
    ):
        samples = model.sample(n=30, max_length=LETTERS, seed=options.seed, **settings)
        common.show(f"---- 30 names, {title} ----\n{', '.join(samples)}")
        model.history.add_sample(len(model.history), f"{title}: {', '.join(samples)}")
    # one letter more tells a name of LETTERS letters from one that was cut
    many = model.sample(n=1000, max_length=LETTERS + 1, label=options.country, seed=options.seed)
    new = model.novelty(many)
    common.show(f"of 1,000 samples {new.sum()} are new, {sum(not name for name in many)} empty, "
                f"{sum(len(name) <= LETTERS for name in many)} ended within {LETTERS} letters")
    fresh = sorted({name for name, is_new in zip(many, new, strict=True) if is_new and name},
                   key=lambda name: model.score(name, label=options.country) * (len(name) + 1))
    common.show(f"the most likely new ones: {', '.join(fresh[:5])}")
    ranking = model.rank_labels(options.name, prior="training")
    width = max(len(ranked.label) for ranked in ranking)
    common.show(f"{options.name}, with the frequencies of the countries as the prior:")
    for one in ranking:
        common.show(f"  {one.label:{width}} {one.probability:7.2%}  loss {one.total:7.3f} nats, "
                    f"{one.loss:.4f} per letter")


def names(table: str | None) -> fastrnn.Corpus:
    """From the given table, from names.tsv, from Faker's lists, or else the data set "names"."""
    places = [Path(os.environ.get("FASTRNN_DATA", "data")) / "names.tsv", Path("data/names.tsv")]
    found = table or next((path for path in places if path.is_file()), None)
    if found:
        return fastrnn.Corpus.from_table(found, max_length=LETTERS, too_long="drop")
    texts, labels = [], []
    for locale, country in COUNTRIES.items():
        try:
            generator = importlib.import_module("faker.generator").Generator()
            lists = importlib.import_module(f"faker.providers.person.{locale}").Provider(generator)
        except ImportError:
            return names_without_faker()
        first = list(dict.fromkeys(getattr(lists, "first_romanized_names", lists.first_names)))
        texts += first
        labels += [country] * len(first)
    return fastrnn.Corpus.from_records(texts, labels, max_length=LETTERS, too_long="drop",
                                       name="Faker's names")


def names_without_faker() -> fastrnn.Corpus:
    """The data set "names", or names made up of two syllables."""
    try:
        return fastrnn.datasets.load("names")
    except OSError:
        print(common.instead("names", "a list of made-up names"), flush=True)
    made = [(begin + end, country) for country, (begins, ends) in SYLLABLES.items()
            for begin in begins.split() for end in ends.split()]
    texts, labels = zip(*made, strict=True)
    return fastrnn.Corpus.from_records(texts, labels, name="made-up names")


if __name__ == "__main__":
    main()

"""First names of a country: the memory cell of the names homework and an LSTM side by side.

    python examples/names.py                              # about two minutes
    python examples/names.py TABLE --country Iran --name Jasmin

TABLE has a name and its country in each row (TSV or CSV). Without it the names come from
data/names.tsv or $FASTRNN_DATA/names.tsv where there is such a file; else from the lists of the
Faker package (pip install "fastrnn[examples]") for seven countries; else they are the surnames of
the data set "names", downloaded, or else made up of syllables. Prints for each model:
the loss on held-out names, beside that of the same model without countries; how often the right
country is ranked first; 30 names of a country, 30 sampled at a low temperature, 30 of a mixture of
two countries; the five most likely new names; and the countries of a given name by probability.
"""

import argparse
import importlib
import os
import time
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
    "memory cell": {"cell": "memory", "loss": "binary_cross_entropy", "dropout": 0.2,
                    "init": "uniform", "learning_rate": 2e-3},
    "lstm": {"cell": "lstm", "dropout": 0.4, "learning_rate": 5e-3},
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
        "First names of a country.", name=("Johanna", "to rank"), hidden_size=128,
        epochs=(60, "at most"), threads=None, seed=0)
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
    print(f"{len(texts):,} names: " + ", ".join(
        f"{name} {count}" for name, count in zip(records.names, counts, strict=True)))
    print(f"{len(held_out)} of them held out; the most frequent country is right for "
          f"{(labels[held_out] == records.names[counts.argmax()]).mean():.1%} of these\n")
    for title, settings in MODELS.items():
        began = time.perf_counter()
        model, without = (learn(corpus(rest, with_labels), settings, options)
                          for with_labels in (True, False))
        print(f"==== {title}: {fastrnn.parameter_count(model):,} parameters, "
              f"{time.perf_counter() - began:.1f} s for both models ====")
        print(f"loss on the held-out names: {model.score(corpus(held_out)):.4f} nats per letter, "
              f"without countries {without.score(corpus(held_out, False)):.4f}")
        right = np.mean([model.rank_labels(texts[i])[0].label == labels[i] for i in held_out])
        print(f"right country ranked first: {right:.1%} of the held-out names")
        show(model, options)


def learn(corpus, settings, options) -> fastrnn.Model:
    return fastrnn.train(
        corpus, preset="classic", hidden_size=options.hidden_size, batch_size=32, optimizer="adam",
        clip_norm=5.0, clip_value=None, epochs=options.epochs, valid_fraction=0.1, patience=8,
        sample_every=0, threads=options.threads, seed=options.seed, **settings)


def show(model: fastrnn.Model, options: argparse.Namespace) -> None:
    mixture = {options.country: 0.5, options.second: 0.5}
    for title, settings in (
        (options.country, {"label": options.country}),
        (f"{options.country}, temperature 0.5", {"label": options.country, "temperature": 0.5}),
        (f"half {options.country}, half {options.second}", {"label": mixture}),
    ):
        samples = model.sample(n=30, max_length=LETTERS, seed=options.seed, **settings)
        common.show(f"---- 30 names, {title} ----\n{', '.join(samples)}")
    # one letter more tells a name of LETTERS letters from one that was cut
    many = model.sample(n=1000, max_length=LETTERS + 1, label=options.country, seed=options.seed)
    new = model.novelty(many)
    print(f"of 1,000 samples {new.sum()} are new, {sum(not name for name in many)} empty, "
          f"{sum(len(name) <= LETTERS for name in many)} ended within {LETTERS} letters")
    fresh = sorted({name for name, is_new in zip(many, new, strict=True) if is_new and name},
                   key=lambda name: model.score(name, label=options.country) * (len(name) + 1))
    print(f"the most likely new ones: {', '.join(fresh[:5])}")
    ranking = ", ".join(f"{label} {probability:.1%}" for label, _, probability in
                        model.rank_labels(options.name))
    print(f"{options.name}: {ranking}\n")


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

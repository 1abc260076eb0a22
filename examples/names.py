"""First names for a country: the memory cell of the homework and an LSTM side by side.

    python examples/names.py                              # about two minutes
    python examples/names.py TABLE --country Iran --name Jasmin

TABLE has a name and its country in each row (TSV or CSV). Without one it is data/names.tsv or
$FASTRNN_DATA/names.tsv where there is such a file, and else it is made of the lists of the Faker
package (pip install "fastrnn[examples]") for seven countries. For each model: the loss on names
held out, beside that of the same model without countries; how often the right country is ranked
first; 30 names for a country, 30 sharpened, 30 of a mixture; the five likeliest new ones; and the
ranking of a given name.
"""

import argparse
import importlib
import os
import time
from pathlib import Path

import numpy as np

import fastrnn

COUNTRIES = {  # Faker's place -> country
    "nl_NL": "Netherlands", "fa_IR": "Iran", "fr_FR": "France", "pl_PL": "Poland",
    "zh_CN": "China", "it_IT": "Italy", "es_CL": "Chile",
}
MODELS = {
    # as the homework trains it: binary cross-entropy on the softmax, dropout
    "memory cell": {"cell": "memory", "loss": "binary_cross_entropy", "dropout": 0.2,
                    "init": "uniform", "learning_rate": 2e-3},
    "lstm": {"cell": "lstm", "dropout": 0.4, "learning_rate": 5e-3},
}
LETTERS = 30  # of the longest name


def main() -> None:
    parser = argparse.ArgumentParser(description="First names for a country.")
    parser.add_argument("table", metavar="TABLE", nargs="?", help="names and countries")
    parser.add_argument("--country", default="Netherlands", help="default: %(default)s")
    parser.add_argument("--second", default="Poland", metavar="COUNTRY",
                        help="of the mixture (default: %(default)s)")
    parser.add_argument("--name", default="Johanna", help="to rank (default: %(default)s)")
    parser.add_argument("--hidden-size", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=60, help="at most (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args()
    try:
        run(options)
    except (OSError, ValueError, ImportError, FloatingPointError) as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> None:
    everything = names(options.table)
    records = everything.records
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
    print(f"{len(held_out)} of them held out; the most frequent country would be right for "
          f"{(labels[held_out] == records.names[counts.argmax()]).mean():.1%} of these\n")
    for title, settings in MODELS.items():
        began = time.perf_counter()
        model, without = (learn(corpus(rest, with_labels), settings, options)
                          for with_labels in (True, False))
        print(f"==== {title}: {fastrnn.parameter_count(model):,} parameters, "
              f"{time.perf_counter() - began:.1f} s for both models ====")
        print(f"loss on the names held out: {model.score(corpus(held_out)):.4f} nats per letter, "
              f"without countries {without.score(corpus(held_out, False)):.4f}")
        right = np.mean([model.rank_labels(texts[i])[0].label == labels[i] for i in held_out])
        print(f"right country ranked first: {right:.1%} of the names held out")
        show(model, options)


def learn(corpus, settings, options) -> fastrnn.Model:
    return fastrnn.train(
        corpus, hidden_size=options.hidden_size, batch_size=32, optimizer="adam", clip_norm=5.0,
        clip_value=None, epochs=options.epochs, valid_fraction=0.1, patience=8, sample_every=0,
        threads=options.threads, seed=options.seed, **settings)


def show(model: fastrnn.Model, options: argparse.Namespace) -> None:
    mixture = {options.country: 0.5, options.second: 0.5}
    for title, settings in (
        (options.country, {"label": options.country}),
        (f"{options.country}, sharpened", {"label": options.country, "temperature": 0.5}),
        (f"half {options.country}, half {options.second}", {"label": mixture}),
    ):
        drawn = model.sample(n=30, max_length=LETTERS, seed=options.seed, **settings)
        print(f"---- 30 names, {title} ----\n{', '.join(drawn)}")
    # one letter more, so that a name of LETTERS letters is known to have ended
    many = model.sample(n=1000, max_length=LETTERS + 1, label=options.country, seed=options.seed)
    new = model.novelty(many)
    print(f"of 1,000 samples {new.sum()} are new, {sum(not name for name in many)} empty, "
          f"{sum(len(name) <= LETTERS for name in many)} ended within {LETTERS} letters")
    fresh = sorted({name for name, is_new in zip(many, new, strict=True) if is_new and name},
                   key=lambda name: model.score(name, label=options.country) * (len(name) + 1))
    print(f"the likeliest new ones: {', '.join(fresh[:5])}")
    ranking = ", ".join(f"{label} {share:.1%}" for label, _, share in
                        model.rank_labels(options.name))
    print(f"{options.name}: {ranking}\n")


def names(table: str | None) -> fastrnn.Corpus:
    """The table given, or found, or made of Faker's lists."""
    places = [Path(os.environ.get("FASTRNN_DATA", "data")) / "names.tsv", Path("data/names.tsv")]
    found = table or next((path for path in places if path.is_file()), None)
    if found:
        return fastrnn.Corpus.from_table(found, max_length=LETTERS, too_long="drop")
    texts, labels = [], []
    for place, country in COUNTRIES.items():
        try:
            generator = importlib.import_module("faker.generator").Generator()
            lists = importlib.import_module(f"faker.providers.person.{place}").Provider(generator)
        except ImportError:
            raise ImportError('without a TABLE the names come from the Faker package: '
                              'pip install "fastrnn[examples]"') from None
        first = list(dict.fromkeys(getattr(lists, "first_romanized_names", lists.first_names)))
        texts += first
        labels += [country] * len(first)
    return fastrnn.Corpus.from_records(texts, labels, max_length=LETTERS, too_long="drop",
                                       name="Faker's names")


if __name__ == "__main__":
    main()

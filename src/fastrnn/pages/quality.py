"""The parts of a report that say how good a model is: losses beside simple models, samples, labels,
forecasts."""

import math
from functools import partial
from typing import Any, cast

import numpy as np

from .. import svg
from ..data.corpus import Corpus
from ..data.sequences import Sequences
from ..insight.baselines import explained
from ..insight.confusion import Confusion
from ..insight.figures import LENGTH, RECORDS, Figures
from .blocks import Block, Chart, Sample, Samples, Table, Text
from .sections import Missing, loss_in_words, plural

TEMPERATURES = (0.5, 0.8, 1.0)
OUTPUT = 500  # symbols of each of these samples
FIRST = 10  # generated records that are shown of each label
LONG = 40  # symbols of a record from which on they stand one below the other
MATRIX = 12  # labels up to which all confusions are shown
STEPS = 300  # of a series in a chart
ANSWERS = 6  # held-out sequences that are shown with the model's answers
LATE = 0.8  # of the updates; a lowest validation loss before that tells of over-fitting
GIVEN = 0.3  # of a series, before the model goes on with its own outputs
NO_DATA = ("The data are not given, and nothing here is measured without them. Give what the model "
           "was trained on, as for the training: fastrnn report MODEL FILE, or in Python "
           "model.report(path, data).")


def _needs_validation(figures: Figures) -> None:
    if figures.split is None:
        raise Missing(NO_DATA)
    if figures.held is None:
        how = "--valid-fraction 0.1" if figures.vocabulary else "valid_fraction=0.1"
        raise Missing("The run had no validation data: all of the data were trained on. Train "
                      f"with {how} to hold some out.")


def sample(figures: Figures) -> list[Block] | None:
    """1,000 symbols of a model of text."""
    if not figures.of_text:
        return None
    marked = (0, 0)
    if figures.copied and figures.of_characters:
        passage = figures.copied[0]
        marked = passage.in_sample, passage.in_sample + passage.length
    title = f"{LENGTH:,} {figures.unit}s, temperature {figures.temperature:g}, seed {figures.seed}"
    return [Sample(title, figures.sample, marked)]


def outputs(figures: Figures) -> list[Block] | None:
    """Samples of the same model at three temperatures."""
    if not figures.of_text:
        return None
    texts = figures.at_temperatures(TEMPERATURES, OUTPUT)
    return [Samples([Sample(f"temperature {t:g}, seed {figures.seed}", text)
                     for t, text in zip(TEMPERATURES, texts, strict=True)]),
            Text("At a temperature below 1 likely symbols become likelier.", note=True)]


def likeliest(figures: Figures) -> list[Block] | None:
    """A text sampled, and the one that takes the likeliest symbol each time."""
    if not figures.of_text:
        return None
    texts = figures.at_temperatures((figures.temperature, 0), 40 if figures.of_words else 200)
    titles = f"sampled, temperature {figures.temperature:g}, seed {figures.seed}", "the likeliest"
    return [Samples([Sample(title, text) for title, text in zip(titles, texts, strict=True)])]


def copied(figures: Figures) -> list[Block] | None:
    """The longest passage of the training text in the sample."""
    if not figures.of_text:
        return None
    if figures.split is None:
        raise Missing(NO_DATA)
    if figures.copied is None:
        raise Missing("The sample cannot be compared with the training text: its words are split "
                      "otherwise when they are read again.")
    (found, other), unit = figures.copied, figures.unit
    if not found.length:
        return [Text(f"No {unit} of the sample stands in the training text.")]
    train = cast(Corpus, figures.split.train)
    text = figures.sample[found.in_sample :][: found.length] if figures.of_characters else (
        figures.written(train.ids[found.in_text :][: found.length]))
    said = (f"The longest passage of the {LENGTH:,} {unit}s above that stands in the training text "
            f"too has {plural(found.length, unit)}. There it begins at {unit} "
            f"{found.in_text + 1:,} of {len(train):,}.")
    if other is not None:
        said += (f" For comparison: the first {LENGTH:,} {unit}s of the validation text, which the "
                 f"model did not write, have {plural(other.length, unit)} in common with it.")
    return [Text(said), Sample("the passage", text)]


def records(figures: Figures) -> list[Block] | None:
    """Generated records, and how many of them are new."""
    if not figures.of_records:
        return None
    found, known = figures.generated, len(figures.model.known)
    texts = [text for each in found for text in each.texts]
    how = f"temperature {figures.temperature:g}, seed {figures.seed}"
    rows: list[tuple[Any, ...]]
    if np.mean([len(text) for text in texts]) > LONG:
        rows = [(*([each.label] if each.label else []), text, "new" if new else "known")
                for each in found for text, new in zip(each.texts[:FIRST], each.new, strict=False)]
        head: tuple[str, ...] = ("record", "in training")
    else:
        rows = [(*([each.label] if each.label else []), _percent(each.new),
                 ", ".join(text + "*" * bool(known and not new) for text, new in zip(
                     each.texts[:FIRST], each.new if known else [True] * FIRST, strict=False)))
                for each in found]
        head = (f"new of {RECORDS}", f"the first {FIRST}; * stands in the training data")
    blocks: list[Block] = [Table(rows, ("label", *head) if found[0].label else head)]
    if known:
        new = np.concatenate([each.new for each in found])
        blocks.insert(0, Text(
            f"Of {len(texts):,} generated records ({how}) {new.sum():,} are new "
            f"({new.mean():.1%}); the others are among the {known:,} distinct ones of the "
            "training."))
    return blocks


def mixture(figures: Figures) -> list[Block] | None:
    """Records generated with a mixture of the two labels that were the most frequent."""
    names = figures.model.config["labels"]
    if not names or len(names) < 2:
        return None
    counts = figures.model.label_counts
    first, second = [names[c] for c in np.argsort(-counts, kind="stable")[:2]] if len(counts) \
        else names[:2]
    texts = figures.model.sample(n=3 * FIRST, label={first: 0.5, second: 0.5}, seed=figures.seed,
                                 temperature=figures.temperature)
    return [Sample(f"{first} and {second}, each with the weight 0.5, temperature "
                   f"{figures.temperature:g}, seed {figures.seed}",
                   ("\n" if max(map(len, texts)) > LONG else ", ").join(texts))]


def _percent(new: Any) -> str:
    return f"{np.mean(new):.0%}" if len(new) else "not known"


def comparison(figures: Figures) -> list[Block]:
    """The loss on the validation data beside those of simple models."""
    _needs_validation(figures)
    assert figures.loss is not None and figures.held is not None
    each = figures.simple | {"this model": figures.loss}
    order = sorted(each, key=lambda name: -each[name])
    symbols, unit = bool(figures.model.sizes.output_symbols), figures.unit
    rows: list[tuple[str, ...]]
    if symbols:
        rows = [(name, f"{each[name]:.3f}", f"{each[name] / math.log(2):.3f}",
                 f"{math.exp(min(each[name], 700)):,.2f}") for name in order]
        head: tuple[str, ...] = ("", f"nats per {unit}", f"bits per {unit}", "perplexity")
    else:
        rows = [(name, f"{each[name]:.4g}", f"{math.sqrt(each[name]):.4g}") for name in order]
        head = ("", "mean squared error", "its square root")
    chart = partial(svg.bar_chart, order, [each[name] for name in order],
                    f"nats per {unit}" if symbols else "mean squared error",
                    title="Loss on the validation data", marked=[order.index("this model")])
    blocks: list[Block] = [Text(_judged(figures, each)), Table(rows, head),
                           Chart(chart, "Shorter is better.", legend=False)]
    if figures.accuracy is not None:
        blocks.append(Text(f"Of the {unit}s of the validation data {figures.accuracy:.2%} are "
                           "predicted right: the model gives them the highest probability."))
    return [*blocks, Text(_explained(figures), note=True)]


def _judged(figures: Figures, each: dict[str, float]) -> str:
    assert figures.held is not None
    loss = each["this model"]
    said = (f"On the validation data, {figures.held.predictions:,} predictions, the loss is "
            f"{loss_in_words(figures, loss)}.")
    others = {name: value for name, value in each.items() if name != "this model"}
    if not others:
        return said
    best = min(others, key=lambda name: others[name])
    if loss < others[best]:
        return f"{said} That is less than all simple models reach; the best of them: {best}."
    better = ", ".join(name for name in others if others[name] <= loss)
    history, advice = figures.model.history, "Train longer, or with other settings."
    if history.valid_loss.size:
        at = history.lowest_validation()[1]
        if at < LATE * len(history):
            advice = (f"The validation loss was lowest after {at:,} of {len(history):,} updates: "
                      "a smaller model, more dropout or more data may help, a longer training does "
                      "not.")
    return f"{said} Simple models, learned in a moment, are as good or better: {better}. {advice}"


def _explained(figures: Figures) -> str:
    """How the simple models are made."""
    if figures.vocabulary is None:
        return ("The simple models read the training part alone and are scored on the same steps."
                + (" The naive forecast takes the present number for the next one."
                   if "naive forecast" in figures.simple else ""))
    stream = (" The model reads the validation text as one stream from its last state; in training "
              "it was read in batch_size streams, whose loss can differ a little.") \
        if figures.of_text else ""
    label = " They do not read the labels, which the model reads." \
        if figures.model.config["labels"] else ""
    of_each = explained(cast(Corpus, figures.held))
    each = "; ".join(f"{name}: {what}" for name, what in of_each.items())
    return ("The simple models read the training part alone and are scored on the same "
            f"{figures.unit}s. {each}.{label}{stream}")


def labels(figures: Figures) -> list[Block] | None:
    """How often the right label of a validation record is ranked first, and what is confused."""
    if not figures.model.config["labels"]:
        return None
    _needs_validation(figures)
    assert figures.labels is not None
    equal, prior = figures.labels
    shown, count = prior or equal, int(equal.counts.sum())
    of_each = shown.counts.sum(axis=1)
    most = int(of_each.argmax())
    said = (f"For {equal.accuracy:.1%} of {count:,} validation records the right label is ranked "
            "first if all labels are equally likely beforehand")
    if prior:
        said += f", for {prior.accuracy:.1%} with how often each came in training"
    said += (f". Always {shown.names[most]!r}, the most frequent one, is right for "
             f"{of_each[most] / count:.1%}.")
    several = figures.split and figures.split.whole.ambiguous()
    if several:
        said += (f" {plural(len(several), 'text')} of the data stand{'s' * (len(several) == 1)} "
                 "with several labels: about these no ranking is always right.")
    return [Text(said), *_confused(shown, prior is not None), _ranked(figures, prior is not None)]


def _ranked(figures: Figures, counted: bool) -> Table:
    """The likeliest labels of some validation records, at equal distances."""
    held, rows = cast(Corpus, figures.held), []
    pieces, of_rows = held.pieces(), held.row_labels() or []
    for row in np.unique(np.linspace(0, len(pieces) - 1, ANSWERS).astype(int)):
        text, label = held.vocabulary.decode(pieces[row][1:-1]), of_rows[row]
        likeliest = figures.model.rank_labels(text, prior="training" if counted else None)[:3]
        shown = ", ".join(f"{one.label} {one.probability:.0%}" for one in likeliest)
        rows.append((text[: 2 * LONG], label, shown, f"{likeliest[0].total:.2f}"))
    return Table(rows, ("record", "right label", "the likeliest labels", "nats"),
                 f"{len(rows)} of the validation records, with the probabilities of their labels "
                 "and the loss of the whole record with the likeliest one")


def _confused(found: Confusion, counted: bool) -> list[Block]:
    """The accuracy of each label, and the confusions: all, or of many labels the most frequent."""
    names, counts, of_each = found.names, found.counts, found.counts.sum(axis=1)
    right = [f"{counts[c, c] / of_each[c]:.0%}" if of_each[c] else "" for c in range(len(names))]
    how = "with the frequencies of training" if counted else "all labels equally likely beforehand"
    if len(names) <= MATRIX:
        rows: list[tuple[Any, ...]] = [
            (name, *map(int, counts[c]), right[c]) for c, name in enumerate(names)]
        return [Table(rows, ("label", *names, "right"),
                      "In each row the validation records of a label, in each column the label "
                      f"ranked first ({how})")]
    wrong = [(int(counts[i, j]), i, j) for i, j in zip(*np.nonzero(counts), strict=True) if i != j]
    return [Table([(name, int(of_each[c]), right[c]) for c, name in enumerate(names)],
                  ("label", "records", "right"), f"Accuracy of each label ({how})"),
            Table([(names[i], names[j], n) for n, i, j in sorted(wrong, reverse=True)[:20]],
                  ("label", "ranked first", "records"), "The most frequent confusions")]


def answers(figures: Figures) -> list[Block] | None:
    """Held-out sequences of symbols with the model's answers, or a series with its forecast."""
    if figures.vocabulary is not None:
        return None
    _needs_validation(figures)
    held = figures.held
    if not isinstance(held, Sequences):
        return None
    return _symbols(figures, held) if held.targets.ndim == 2 else _numbers(figures, held)


def _symbols(figures: Figures, held: Sequences) -> list[Block]:
    some = held[:ANSWERS]
    chosen = figures.model.predict(some).argmax(axis=2)

    def shown(ids: Any) -> str:
        return " ".join(map(str, ids[:60])) + " ..." * (len(ids) > 60)

    rows = [(shown(some.inputs[n, : some.lengths[n]]) if some.inputs.ndim == 2 else "numbers",
             shown(some.targets[n][some.mask[n]]), shown(chosen[n][some.mask[n]]))
            for n in range(len(some))]
    return [Table(rows, ("input", "target", "the model's answer"),
                  f"The first {len(rows)} validation sequences, at the steps that count")]


def _numbers(figures: Figures, held: Sequences) -> list[Block]:
    one, model = held[:1], figures.model
    T = min(int(one.ends[0]), STEPS)
    steps = np.arange(1, T + 1)
    target, predicted = one.targets[0, :T, 0], model.predict(one)[0, :T, 0]
    counted = np.where(one.mask[0, :T], target, np.nan)
    first = " (the first number)" if held.sizes.output_size > 1 else ""
    blocks: list[Block] = [Chart(partial(
        svg.line_chart,
        [svg.Line("target", steps, counted), svg.Line("prediction", steps, predicted)], "step",
        f"target{first}", title="Targets and predictions of a validation sequence"),
        f"The first validation sequence{first}: at each step the prediction is made from the "
        "inputs up to there.")]
    given = int(GIVEN * T)
    if model.continues and held.sizes.input_size == held.sizes.output_size and given > 1:
        own = model.extrapolate(one.inputs[:, :given], T - given)[0, :, 0]
        lines = [svg.Line("series", steps, counted),
                 svg.Line("continued by the model", steps[given - 1 : -1], own)]
        blocks.append(Chart(partial(
            svg.line_chart, lines,
            "step", f"series{first}", title="A validation sequence, continued by the model"),
            f"After {given} steps the model reads its own predictions in place of the series."))
    return blocks

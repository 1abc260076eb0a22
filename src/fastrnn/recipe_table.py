"""The settings that a search found to be best (bench/recipes.py, bench/RECIPES.md), and those
between them.

A row is for a source of so many predictions on a machine that reads so much of it in the time,
measured by one network, REFERENCE. Between rows settings are interpolated, most of them and the
two measures in the logarithm. Beyond them:

- a source that is larger than the largest has its rows: the same network reads as much, which is
  less of it, so it need not make as many passes (and has less dropout, as every run that is shorter
  than the best one);
- in more time than in the last row the network grows by GROWTH, and dropout by MORE_DROPOUT (a rule
  that was not measured); the passes do not, since 12 with 640 units and dropout 0.5 over-fitted
  1 MB;
- in less time than in the first, and wherever a row's passes cannot be made, `recipe.choose` takes
  the largest network that makes half of them;
- a network of another size than the row's has dropout times the root of the ratio of the sizes, and
  passes divided by it (on 20 kB 96 units want 12 to 24 passes where 384 want 6 to 8).
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

# what is measured to know how fast the machine is
REFERENCE = {"cell": "lstm", "hidden_size": 256, "num_layers": 1, "batch_size": 16,
             "seq_length": 64, "dropout": 0.0, "dtype": "float32"}
MOST_DROPOUT = 0.65
GROWTH = 0.3  # the hidden size is proportional to this power of the time
MORE_DROPOUT = 0.09  # for each factor of e in time


@dataclass(frozen=True)
class Row:
    """Settings.

    Attributes
    ----------
    reads : float
        Millions of time steps that the reference network reads in the time.
    hidden_size, batch_size, seq_length, dropout, learning_rate : float
        The last for Adam.
    passes : float
        Passes over the training data that the best run made.
    most_passes : float
        More than these over-fit, and are not made where there is time for them.
    """

    reads: float
    hidden_size: float
    batch_size: float
    seq_length: float
    dropout: float
    learning_rate: float
    passes: float
    most_passes: float


Table = Sequence[tuple[int, Sequence[Row]]]  # predictions of a source -> its rows, by reads

TEXT: Table = (
    (20_000, (Row(1, 384, 2, 32, 0.7, 5e-3, 8, 8),)),
    (150_000, (Row(1, 384, 8, 64, 0.5, 1e-2, 8, 8),)),
    (1_100_000, (
        Row(11, 384, 16, 64, 0.2, 1e-2, 5, 8), Row(22, 512, 32, 64, 0.4, 6e-3, 6.4, 8),
        Row(66, 640, 32, 64, 0.55, 6e-3, 8, 8))))
# texts of many symbols; the larger ones as those of characters, which was not measured
WORDS: Table = ((2_000, (Row(1, 256, 1, 32, 0.7, 4e-3, 2, 2),)), *TEXT[1:])
RECORDS: Table = (
    (22_000, (Row(1, 512, 16, 64, 0.7, 4e-3, 12, 12),)),
    (400_000, (Row(1, 384, 32, 64, 0.3, 7e-3, 6, 12),)))
SEQUENCES: Table = ((10**9, (Row(1, 128, 64, 64, 0.0, 5e-3, 20, 400),)),)
# that are read in windows
SERIES: Table = ((10**9, (Row(1, 128, 16, 64, 0.0, 5e-3, 20, 400),)),)


def depends_on_time(table: Table) -> bool:
    """Whether the settings of a table differ by the speed of the machine."""
    return any(len(rows) > 1 for _, rows in table)


def look_up(table: Table, predictions: int, reads: float) -> Row:
    """The settings for a source of so many predictions, of which the reference network reads so
    many millions of steps in the time."""
    sizes = [math.log(size) for size, _ in table]
    return _at(sizes, [_of_size(rows, reads) for _, rows in table], math.log(max(1, predictions)))


def fewest_passes(table: Table, row: Row, predictions: int) -> float:
    """The passes that a network must make in the time to be taken."""
    return row.passes / 2 / max(1.0, predictions / table[-1][0])


def with_size(row: Row, hidden_size: int) -> Row:
    """The row for a network of so many units."""
    factor = math.sqrt(hidden_size / row.hidden_size)
    return replace(row, hidden_size=hidden_size, passes=row.passes / factor,
                   dropout=min(row.dropout * factor, max(row.dropout, MOST_DROPOUT)),
                   most_passes=max(1.0, row.most_passes / factor))


def _of_size(rows: Sequence[Row], reads: float) -> Row:
    row = _at([math.log(row.reads) for row in rows], rows, math.log(max(reads, 1e-9)))
    longer = max(1.0, reads / rows[-1].reads) if len(rows) > 1 else 1.0
    growth = longer**GROWTH
    return replace(row, hidden_size=row.hidden_size * growth,
                   dropout=min(row.dropout + MORE_DROPOUT * math.log(longer),
                               max(row.dropout, MOST_DROPOUT)))


def _at(places: Sequence[float], rows: Sequence[Row], x: float) -> Row:
    """The row at x, between the two that are next to it; beyond the ends the one there."""
    for a, b, low, high in zip(places, places[1:], rows, rows[1:], strict=False):
        if x <= b:
            return _between(low, high, min(1.0, max(0.0, (x - a) / (b - a))))
    return rows[-1]


def _between(a: Row, b: Row, s: float) -> Row:
    mixed = Row(*(x ** (1 - s) * y**s for x, y in zip(astuple(a), astuple(b), strict=True)))
    return replace(mixed, dropout=(1 - s) * a.dropout + s * b.dropout)

"""Train with many settings side by side and compare the validation losses."""

import argparse
from typing import Any

import numpy as np

from ..data import datasets
from ..files.store import check_writable
from ..recipe import CHOSEN
from ..screen import show
from ..settings import Declared, TrainSettings, declared, given_to
from ..sweep import NOT_SWEPT, sweep
from ..validate import suggestion
from .flags import add_settings, converter
from .sources import add_sources, read_source, read_valid
from .train import DEFAULT_TEXT

EXAMPLES = """examples:
  fastrnn sweep book.txt --grid hidden-size=64,128 --grid dropout=0,0.3 --minutes 1
  fastrnn sweep book.txt --grid learning-rate=0.001..0.1 --trials 20 --seeds 3
  fastrnn sweep book.txt --grid cell=lstm,gru --directory runs --csv table.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage, parser.epilog = "fastrnn sweep [FILE] --grid NAME=VALUES [FLAGS]", EXAMPLES
    parser.add_argument("--grid", action="append", metavar="NAME=VALUES", required=True,
                        help="a setting of fastrnn train and the values to try: 64,128, or with "
                             "--trials a range 0.001..0.1, drawn evenly in the logarithm")
    parser.add_argument("--trials", type=int, help="how many combinations are drawn at random "
                        "(default: all of the lists)")
    parser.add_argument("--seeds", type=int, default=1,
                        help="how many seeds each combination is trained with (default: 1)")
    parser.add_argument("--jobs", type=int, help="processes side by side (default: one a core)")
    parser.add_argument("--halving", type=int, default=3, help="which part goes on: 3 for the best "
                        "third; 1 trains all to the end (default: 3)")
    parser.add_argument("--directory", metavar="DIR", help="where checkpoints and the table are "
                        "kept, so that an interrupted sweep goes on")
    parser.add_argument("--csv", metavar="TABLE", help="write the table to this file")
    add_sources(parser, reading=True)
    add_settings(parser, TrainSettings, leave_out={*NOT_SWEPT, "plot"}, chosen=CHOSEN)


def run(grid: list[str], csv: str | None, **given: Any) -> int:
    how = {name: given[name] for name in
           ("trials", "seeds", "jobs", "halving", "directory")}
    settings = given_to(TrainSettings, given)
    values = dict(_values(text, how["trials"] is not None) for text in grid)
    if csv is not None:
        check_writable(csv)
    source = read_source(given) or datasets.load(DEFAULT_TEXT)
    if settings.get("valid") is not None:
        settings["valid"] = read_valid(settings["valid"], given, source)
    found = sweep(source, values, **how, **settings)
    show(str(found))
    best = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in found.best.items())
    show(f"\nbest: {best}")
    if csv is not None:
        found.to_csv(csv)
    return 0


def _values(text: str, drawn: bool) -> tuple[str, Any]:
    """The name and the values of NAME=64,128 or NAME=0.001..0.1."""
    name, equals, listed = text.partition("=")
    name, known = name.strip().replace("-", "_"), declared(TrainSettings)
    if not equals or not listed:
        raise ValueError(f"--grid {text}: give a setting and its values, such as "
                         "--grid hidden-size=64,128")
    if name not in known:
        hint = suggestion(name, known)
        raise ValueError(f"--grid {text}: there is no setting {name}{hint and ': '}{hint}")
    ends = listed.split("..")
    if len(ends) != 2:
        return name, [_value(known[name], part) for part in listed.split(",")]
    low, high = (_value(known[name], end) for end in ends)
    if not drawn:
        raise ValueError(f"--grid {text} is a range: give --trials, how many are to be drawn")
    if isinstance(low, str) or isinstance(high, str) or not 0 < low < high:
        raise ValueError(f"--grid {text}: a range goes from a number above 0 to a larger one")
    return name, Logarithmic(low, high)


def _value(one: Declared, text: str) -> Any:
    if bool in one.kinds:
        if text not in ("true", "false"):
            raise ValueError(f"--grid {one.name}: {text} must be true or false")
        return text == "true"
    try:
        return converter(one)(text.strip())
    except ValueError:
        raise ValueError(f"--grid {one.name}: {text!r} is not a value of this setting") from None


class Logarithmic:
    """Numbers evenly distributed in the logarithm, whole ones between whole ends."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def rvs(self, random_state: np.random.Generator) -> float:
        drawn = float(np.exp(random_state.uniform(np.log(self.low), np.log(self.high))))
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return round(drawn) if whole else float(f"{drawn:.3g}")

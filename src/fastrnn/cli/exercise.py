"""Exercises for a course: write the folder of one, and check what is filled in."""

import argparse
import textwrap

from ..exercises import EXERCISES, check, new
from ..exercises.exercise import MISSING, RIGHT, WRONG
from ..screen import show

EXAMPLES = """examples:
  fastrnn exercise list
  fastrnn exercise new kth
  fastrnn exercise check kth           exit code 0 where all is right, else 1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    actions.add_parser("list", help="list the exercises")
    make = actions.add_parser("new", help="write the folder of an exercise")
    make.add_argument("name", metavar="NAME", choices=EXERCISES, help=f"{', '.join(EXERCISES)}")
    make.add_argument("folder", metavar="FOLDER", nargs="?",
                      help="the folder to make (default: NAME)")
    judge = actions.add_parser("check", help="say of each function whether it is right, and what "
                               "is wrong where first: this runs the file of the student")
    judge.add_argument("folder", metavar="FOLDER", nargs="?", default=".",
                       help="the folder of the exercise (default: this one)")


def run(action: str, name: str = "", folder: str | None = None) -> int:
    if action == "list":
        for exercise in EXERCISES.values():
            show(f"{exercise.name:8}{exercise.title}: {len(exercise.pieces)} functions")
        return 0
    if action == "new":
        paths = new(name, folder)
        show(f"wrote {', '.join(map(str, paths))}\nRead README.md there, fill in "
             f"{EXERCISES[name].file}, and see what is right: fastrnn exercise check "
             f"{paths[0].parent}")
        return 0
    outcomes = check(folder or ".")
    width = max(len(outcome.piece) for outcome in outcomes)
    for outcome in outcomes:
        text = outcome.status + (f": {outcome.text}" if outcome.text else "")
        show(textwrap.fill(text, 100, initial_indent=f"{outcome.piece:{width}}  ",
                           subsequent_indent=" " * (width + 2), break_long_words=False,
                           break_on_hyphens=False))
    counts = {status: sum(o.status == status for o in outcomes)
              for status in (RIGHT, WRONG, MISSING)}
    show(", ".join(f"{count} {status}" for status, count in counts.items() if count))
    if counts[WRONG] > 1:
        show("Begin with the first one that is wrong: others may call it.")
    return 0 if counts[RIGHT] == len(outcomes) else 1

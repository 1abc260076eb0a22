"""The tables of docs/reference: settings, presets, and the commands and flags, from the source.

A page says where a table stands: ``<!-- table: TrainSettings - ModelSettings, train -->`` has the
settings of a TypedDict or dataclass of settings.py without those of another, and their flags of
``fastrnn train``; ``<!-- table: preset classic -->`` has those of a preset, ``commands`` the
commands, ``flags of score`` those of a command that are no settings; ``<!-- end -->`` stands below.
`pytest tests/pages/test_site.py --refresh` writes the tables anew.
"""

import argparse
import re
from collections.abc import Mapping
from typing import Any

from fastrnn import cli, settings
from fastrnn.presets import PRESETS
from fastrnn.recipe import CHOSEN
from fastrnn.settings import Declared, declared

TABLE = re.compile(r"(?<=^<!-- table: )([^\n]*)( -->\n).*?(?=^<!-- end -->$)", re.M | re.S)


def with_tables(text: str) -> str:
    """The text of a page, its tables made anew."""
    return TABLE.sub(lambda found: f"{found[1]}{found[2]}\n{table(found[1])}\n", text)


def table(of: str) -> str:
    """The table that a page asks for."""
    if of.startswith("preset "):
        preset = PRESETS[of.removeprefix("preset ")]
        return rows(("setting", "value"), {
            f"`{setting}`": (code(value),)
            for setting, value in (*preset.reading.items(), *preset.settings.items())})
    if of == "commands":
        return rows(("command", "what it does"), {
            f"[`fastrnn {name}`](#fastrnn-{name})": (str(parser.description),)
            for name, parser in parsers().items()})
    if of.startswith("flags of "):
        return rows(("argument", "what it is"), own_flags(of.removeprefix("flags of ")))
    names, _, command = of.partition(", ")
    first, *others = (declared(getattr(settings, name)) for name in names.split(" - "))
    known = [one for name, one in first.items() if not any(name in other for other in others)]
    flags = flags_of(command) if command else {}
    return rows(("setting, flag" if flags else "setting", "type, default", "what it does"), {
        "<br>".join([f"`{one.name}`", *flags.get(one.name, ())]):
        (f"{kind(one)}<br>{default(one, command == 'train')}", prose(one)) for one in known})


def rows(head: tuple[str, ...], body: Mapping[str, tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *((first, *rest) for first, rest in body.items())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(value: Any) -> str:
    """A value as it is written in Python."""
    shown = repr(value).replace("'", '"')
    return f"`{shown}`"


def kind(one: Declared) -> str:
    """The type, or the values that are allowed."""
    if one.setting.choices:
        return ", ".join(map(code, one.setting.choices))
    found = re.match(rf"{one.name} : (.*?)(, optional|, default .*)?\n", one.entry)
    assert found
    return found[1]


def default(one: Declared, chosen: bool = False) -> str:
    value = f"default {code(one.setting.default)}"
    return f"{value} or chosen" if chosen and one.name in CHOSEN else value


def prose(one: Declared) -> str:
    text = one.setting.text.replace("|", "\\|")
    return re.sub(r"<(\w+)>", r"`<\1>`", text)


def flags_of(command: str) -> dict[str, list[str]]:
    """The flags of a command, by the names of what they set."""
    found: dict[str, list[str]] = {}
    for action in parsers()[command]._actions:
        if action.help != argparse.SUPPRESS:
            names = action.option_strings or [(action.metavar or action.dest).upper()]
            found.setdefault(action.dest, [f"`{name}`" for name in names])
    return found


def parsers() -> dict[str, cli.Parser]:
    """The parser of each command."""
    return cli._parser()[1]


def own_flags(command: str) -> dict[str, tuple[str, ...]]:
    """The arguments of a command that are in no table of settings, with their help."""
    shown = {name for group in vars(settings).values() if isinstance(group, type)
             and issubclass(group, dict) and group.__name__.endswith("Settings")
             for name in declared(group)}
    found = {}
    for action in parsers()[command]._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {f"`{one.dest}`": (escaped(one.help),) for one in action._choices_actions}
        elif action.help != argparse.SUPPRESS and action.dest not in {"help", *shown} - {"file"}:
            names = action.option_strings or [str(action.metavar or action.dest).upper()]
            found["<br>".join(f"`{name}`" for name in names)] = (escaped(action.help),)
    return found


def escaped(text: str | None) -> str:
    """The help of an argument as it stands in a table."""
    return (text or "").replace("%%", "%").replace("|", "\\|")

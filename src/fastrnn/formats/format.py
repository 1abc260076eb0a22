"""What a format of files is to `fastrnn.export` and `fastrnn.import_model`."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.model import Model
from ..pages.weights import Rounding


@dataclass(frozen=True)
class Format:
    """A kind of file that another program reads.

    write(model, path, overwrite, **settings) writes a model, with all of `settings`, and returns
    what int8 weights change, or None. It raises ValueError, naming the cell or the setting, for a
    model that the format cannot express. read(path, **read_settings) makes a model of a file; None:
    it cannot be read."""

    endings: tuple[str, ...]  # of names of files, in small letters
    what: str  # such as "a page"
    then: str  # what to do with it, in a few words
    write: Callable[..., Rounding | None]
    settings: frozenset[str] = frozenset()  # those of `ExportSettings` that it takes
    read: Callable[..., Model] | None = None
    read_settings: frozenset[str] = frozenset()  # those of `ImportSettings` that it takes


def of_path(formats: tuple[Format, ...], path: str | os.PathLike[str], verb: str) -> Format:
    """The format that the end of a name says, the longest one; ValueError where none does."""
    name = os.fspath(path).lower()
    fitting = [(len(ending), i) for i, each in enumerate(formats) for ending in each.endings
               if name.endswith(ending)]
    if not fitting:
        known = ", ".join(f"{each.endings[0]} ({each.what})" for each in formats)
        raise ValueError(f"{str(Path(path))!r}: the end of the name says the format, and fastrnn "
                         f"{verb} {known}")
    return formats[max(fitting)[1]]


def refuse_others(formats: tuple[Format, ...], chosen: Format, given: dict[str, Any],
                  which: str = "settings") -> None:
    """Raise ValueError for a setting that the chosen format does not take, or for one of its
    "read_settings"."""
    for name in given:
        if name not in getattr(chosen, which):
            takers = ", ".join(each.endings[0] for each in formats if name in getattr(each, which))
            raise ValueError(f"leave {name} out: it is for {takers}, not for {chosen.endings[0]}")

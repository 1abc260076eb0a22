"""The folder of an exercise: written for a student, and read again to check what is in it."""

import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from types import ModuleType

from ..files.store import replacing
from ..validate import choice
from .exercise import Exercise, Outcome
from .table import EXERCISES

TEMPLATE = ".in"  # the end of the names of templates


def new(name: str, folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Write the folder of an exercise.

    Parameters
    ----------
    name : str
        One of `EXERCISES`.
    folder : str or path, optional
        Where; by default a folder of the exercise's name. It is made, or is empty.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        There is no such exercise.
    OSError
        There is something in the folder, or it cannot be written.
    """
    exercise = EXERCISES[choice("name", name, EXERCISES)]
    target = Path(name if folder is None else folder)
    if target.is_dir() and any(target.iterdir()):
        raise FileExistsError(f"the folder {str(target)!r} is not empty, and what is in it stays "
                              "as it is: name another folder")
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{str(target)!r} is a file: name another folder")
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for part in ("common", name):
        for template in sorted(files(__package__).joinpath("templates", part).iterdir(),
                               key=lambda each: each.name):
            text = template.read_text(encoding="utf-8")
            text = text.replace("@NAME@", name).replace("@MODULE@", exercise.file[:-3])
            written.append(target / template.name.removesuffix(TEMPLATE))
            with replacing(written[-1]) as file:
                file.write(text.encode("utf-8"))
    return written


def check(folder: str | os.PathLike[str] = ".",
          pieces: Sequence[str] | None = None) -> list[Outcome]:
    """Check what is filled in in the folder of an exercise.

    The student's file runs in this process, with all that it can do: check files of people whom
    you trust, or in a container.

    Parameters
    ----------
    folder : str or path
        A folder that `new` wrote.
    pieces : sequence of str, optional
        The functions to check; by default all.

    Returns
    -------
    list of Outcome
        One for each function, in their order.

    Raises
    ------
    ValueError
        The folder is none of an exercise, its file cannot be run, or there is no such function.
    """
    exercise = found_in(Path(folder))
    chosen = [choice("pieces", piece, exercise.pieces) for piece in pieces or exercise.pieces]
    own = loaded(Path(folder, exercise.file))
    return [exercise.check(piece, own) for piece in chosen]


def found_in(folder: Path) -> Exercise:
    """The exercise that a folder holds."""
    for exercise in EXERCISES.values():
        if (folder / exercise.file).is_file():
            return exercise
    names = ", ".join(exercise.file for exercise in EXERCISES.values())
    raise ValueError(f"{str(folder)!r} is no folder of an exercise, which has one of the files "
                     f"{names}: name one that `fastrnn exercise new` wrote")


def loaded(path: Path) -> ModuleType:
    """A student's file as a module, which may import others of its folder."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        # not by import, which takes an older file for this one after a quick change
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        place = f", line {line}" if line else ""
        raise ValueError(f"{str(path)!r}{place} cannot be run: {type(error).__name__}: {error}"
                         ) from error
    finally:
        sys.path.pop(0)
    return module

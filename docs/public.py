"""The public names of fastrnn, each of which has a place in docs/reference/api.md."""

import functools
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import fastrnn
from fastrnn.data.source import Source

INTERNAL = "For fastrnn itself"  # the docstring of a method that users have no need of begins so


def found(name: str) -> Any:
    """The object of this full name."""
    return functools.reduce(getattr, name.split(".")[1:], fastrnn)


def members(name: str) -> list[str]:
    """The public methods and properties of the class of this full name, in the order in which they
    are defined; none for what is no class. Their docstrings are their own: what a source must have,
    as `Source` says, is not shown again for each."""
    cls = found(name)
    if not inspect.isclass(cls):
        return []
    classes = [base for base in cls.__mro__
               if base.__module__.startswith("fastrnn") and base is not Source]
    named = dict.fromkeys(member for base in classes for member in vars(base))
    return [member for member in named if not member.startswith("_")
            and shown(member, inspect.getattr_static(cls, member), classes)]


def shown(name: str, member: Any, classes: list[type]) -> bool:
    """Whether a member of a class is one for users, with a docstring."""
    function = getattr(member, "__func__", getattr(member, "fget", member))
    own = getattr(function, "__qualname__", "").rpartition(".")
    return (inspect.isfunction(function) and own[2] == name
            and own[0] in [base.__qualname__ for base in classes]
            and bool(function.__doc__) and not function.__doc__.startswith(INTERNAL))


def named() -> list[str]:
    """The full names of the public modules, and of what they contain."""
    public = []
    for name in fastrnn.__all__:
        public.append(f"fastrnn.{name}")
        module = getattr(fastrnn, name)
        if isinstance(module, ModuleType):
            public += [f"fastrnn.{name}.{inner}" for inner in module.__all__]
    return public


def names() -> list[str]:
    """The full names of all that is public: modules, classes, functions, methods, properties."""
    return [*named(), *(f"{name}.{member}" for name in named() for member in members(name))]


def page(name: str) -> str:
    """The page of a class, function or table, in reStructuredText."""
    module, _, own = name.rpartition(".")
    thing = found(name)
    kind = ("class" if inspect.isclass(thing) else
            "function" if callable(thing) else "data")
    parts = [name, "=" * len(name), f"\n.. currentmodule:: {module}\n", f".. auto{kind}:: {own}"]
    inner = {f"{own}.{member}": getattr(thing, member) for member in members(name)}
    if inner:
        parts += ["\n.. rubric:: Methods and properties\n", ".. autosummary::",
                  "   :nosignatures:\n", *(f"   {member}" for member in inner)]
    parts += [f"\n.. auto{'property' if isinstance(member, property) else 'method'}:: {inner_name}"
              for inner_name, member in inner.items()]
    return "\n".join(parts) + "\n"


def write_pages(folder: Path) -> None:
    """A file for each public name that is no module; those that are the same stay untouched, so
    that Sphinx reads only what has changed."""
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.rst": page(name) for name in named()
             if not isinstance(found(name), ModuleType)}
    for file in folder.iterdir():
        if file.name not in pages:
            file.unlink()
    for file_name, text in pages.items():
        file = folder / file_name
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")

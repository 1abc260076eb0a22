"""Every public call says what it takes and gives."""
import ast
import inspect
from pathlib import Path

import pytest

import fastrnn
from fastrnn import cli, kernels

PUBLIC = [getattr(fastrnn, name) for name in fastrnn.__all__]
CALLS = [thing for thing in PUBLIC if inspect.isfunction(thing)] + [cli.main] + [
    member.__func__ if isinstance(member, classmethod) else
    member.fget if isinstance(member, property) else member
    for thing in PUBLIC if inspect.isclass(thing)
    for name, member in vars(thing).items()
    if (not name.startswith("_") or name == "__init__")
    and (inspect.isfunction(member) or isinstance(member, (classmethod, property)))
] + [f for name, f in vars(fastrnn.datasets).items()
     if inspect.isfunction(f) and not name.startswith("_") and f.__module__ == "fastrnn.datasets"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_annotations(call):
    signature = inspect.signature(call)
    for name, parameter in signature.parameters.items():
        assert name in ("self", "cls") or parameter.annotation is not parameter.empty, name
    assert signature.return_annotation is not signature.empty


def test_there_are_calls_to_look_at():
    names = {call.__qualname__ for call in CALLS}
    assert {"train", "load", "gradcheck", "Model.sample", "Model.stream", "Trainer.run",
            "Corpus.from_file", "Vocabulary.encode", "History.loss", "Trainer.__init__"} <= names


def test_type_checkers_are_told():
    package = Path(fastrnn.__file__).parent
    assert (package / "py.typed").is_file()
    stubs = sorted((package / "kernels").glob("*.pyi"))
    assert len(stubs) == 8
    for stub in stubs:  # a compiled module cannot be read
        tree = ast.parse(stub.read_text())
        told = {node.name for node in tree.body
                if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        told |= {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
        module = getattr(kernels, stub.stem)
        made_here = {name for name in vars(module) if name in kernels.__all__
                     and (stub.stem == "border" or not hasattr(kernels.border, name))}
        assert made_here and made_here <= told, stub

"""The house rules that a program can check: no circle of imports, functions that fit a screen."""
import ast
import inspect
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fastrnn
from fastrnn import kernels

PACKAGE = Path(fastrnn.__file__).parent
SOURCES = Path(__file__).resolve().parents[1] / "src"
CSRC = SOURCES.with_name("csrc")
MOST_LINES = 60  # of code in a function
MOST_LINES_OF_A_CLASS = 300


@cache
def trees():
    """Every file of the package, by its dotted name."""
    out = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("fastrnn", *path.relative_to(PACKAGE).with_suffix("").parts)
        out[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text())
    return out


def imports(name, tree):
    """The files of the package that a file imports, wherever in it."""
    package = name if (PACKAGE / "/".join(name.split(".")[1:]) / "__init__.py").exists() else \
        name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            start = ".".join([*base, node.module or ""]).strip(".") if node.level else node.module
            found = [f"{start}.{alias.name}" for alias in node.names] + [start]
        else:
            continue
        for each in found:
            if each in trees() and each not in (name, "fastrnn"):
                yield each


def test_no_circle_of_imports():
    """Counted with those inside functions and under TYPE_CHECKING."""
    graph = {name: set(imports(name, tree)) for name, tree in trees().items() if name != "fastrnn"}
    assert sum(map(len, graph.values())) > 100
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def code_lines(source, node):
    """Lines of a definition but for blanks, comments and docstrings."""
    skipped = set()
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and isinstance(body[0], ast.Expr) \
                and isinstance(body[0].value, ast.Constant):
            skipped |= set(range(body[0].lineno, body[0].end_lineno + 1))
    return sum(1 for i in range(node.lineno, node.end_lineno + 1)
               if i not in skipped and source[i - 1].strip()
               and not source[i - 1].strip().startswith("#"))


def test_python_functions_and_classes_are_short():
    count = 0
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text().split("\n")
        for node in ast.walk(ast.parse("\n".join(source))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                most = MOST_LINES if isinstance(node, ast.FunctionDef) else MOST_LINES_OF_A_CLASS
                lines = code_lines(source, node)
                assert lines <= most, f"{path.name}: {node.name} has {lines} lines"
                count += 1
    assert count > 300


def c_functions(text):
    """(name, lines of code) of each function defined at the top level of a C file."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
    head = r"^[A-Za-z_][^;{}#=]*?\b(\w+)\s*\([^;{}]*\)\s*\{\n"
    for match in re.finditer(head, text, re.MULTILINE):
        end = text.find("\n}", match.start())
        lines = [line for line in text[match.start() : end + 2].split("\n") if line.strip()]
        yield match.group(1), len(lines)


def test_c_functions_are_short():
    found = [(path.name, name, lines) for path in CSRC.rglob("*.[ch]")
             for name, lines in c_functions(path.read_text())]
    assert len(found) > 60 and {"run", "unroll", "sample"} <= {name for _, name, _ in found}
    assert not [each for each in found if each[2] > MOST_LINES]


def cython_functions(text):
    """(name, lines of code) of each def and cdef function, by its indentation."""
    lines = re.sub(r'""".*?"""', lambda m: "\n" * m.group().count("\n"), text,
                   flags=re.DOTALL).split("\n")
    for i, line in enumerate(lines):
        match = re.match(r"( *)(?:def|cdef|cpdef)\s[^:=(]*?(\w+)\(", line)
        if match:
            body = []
            for inner in lines[i + 1 :]:
                if inner.strip() and len(inner) - len(inner.lstrip()) <= len(match.group(1)) \
                        and not inner.lstrip().startswith(")"):
                    break
                body.append(inner)
            yield match.group(2), 1 + sum(1 for b in body if b.strip() and not
                                          b.strip().startswith("#"))


def test_cython_functions_are_short():
    found = [(path.name, *each) for path in SOURCES.rglob("*.pyx")
             for each in cython_functions(path.read_text())]
    assert len(found) > 30
    assert not [each for each in found if each[2] > MOST_LINES]


def test_train_reaches_the_compiled_loop_in_few_calls(monkeypatch):
    """train, Trainer.run and three parts of it, Updates.run, Training.run, `run` of C."""
    paths = []

    class Watched(kernels.Training):
        def run(self, *arguments):
            names = [frame.function for frame in inspect.stack()[1:]]
            paths.append(names[: names.index("train") + 1])
            return super().run(*arguments)

    monkeypatch.setattr(kernels, "Training", Watched)
    fastrnn.train(fastrnn.Corpus.from_text("to be or not to be " * 9), preset="classic",
                  updates=5, progress=False)
    expected = ["run", "_advance", "_loop", "_run", "run", "train"]
    assert paths and all(path == expected for path in paths)

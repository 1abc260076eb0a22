"""One declaration for each setting: signatures, help, types, checks, flags and files."""
import importlib.util
import inspect
import pydoc
import shutil
import subprocess
import sys
import typing

import pytest

import fastrnn
from fastrnn import settings
from fastrnn.settings import (
    ClassifierSettings,
    EchoSettings,
    ExportSettings,
    ModelSettings,
    RegressorSettings,
    SampleSettings,
    TrainerSettings,
    TrainSettings,
    declared,
)

CALLS = [(fastrnn.train, TrainSettings), (fastrnn.Model, ModelSettings),
         (fastrnn.Trainer, TrainerSettings), (fastrnn.EchoStateNetwork, EchoSettings),
         (fastrnn.SequenceRegressor, RegressorSettings),
         (fastrnn.SequenceClassifier, ClassifierSettings),
         (fastrnn.export, ExportSettings),
         (fastrnn.Model.sample, SampleSettings), (fastrnn.Model.stream, SampleSettings)]
BY_NAME = pytest.mark.parametrize(("call", "group"), CALLS, ids=lambda x: x.__qualname__)


@BY_NAME
def test_signatures_list_every_setting_with_its_default(call, group):
    parameters = inspect.signature(call).parameters
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, one in declared(group).items():
        assert parameters[name].default == one.setting.default, name
        assert parameters[name].annotation is not inspect.Parameter.empty


@BY_NAME
def test_help_shows_plain_types(call, group):
    """`hidden_size: int = 100`, with no quotes and no Annotated."""
    parameters = inspect.signature(call).parameters
    for name, one in declared(group).items():
        assert parameters[name].annotation == one.type
    assert "Annotated" not in pydoc.render_doc(call)


def test_the_signature_of_a_dataclass():
    assert str(inspect.signature(fastrnn.EchoStateNetwork)).startswith(
        "(units: int = 500, spectral_radius: float = 0.9, leak_rate: float | ")
    assert "seed: int | None = 0, dtype: str = 'float64', warmup: int = 100" in pydoc.render_doc(
        fastrnn.EchoStateNetwork)


@BY_NAME
def test_help_tells_of_every_setting(call, group):
    text = inspect.getdoc(call)
    assert "**settings" not in text and "@CELLS@" not in text
    for one in declared(group).values():
        assert one.entry in text, one.name
        assert len(one.setting.text) > 10 and one.setting.text.endswith((".", ".)"))
        assert all(len(line) <= 100 for line in one.entry.splitlines())


def test_a_setting_is_declared_once():
    """What several calls take has one default, text and choices, and one line in the file."""
    def about(one):
        return one.setting.default, one.setting.text, one.setting.choices

    seen = {}
    for group in (TrainSettings, ModelSettings, TrainerSettings):
        for name, one in declared(group).items():
            assert seen.setdefault(name, about(one)) == about(one)
    assert set(seen) == set(declared(TrainSettings))
    shared = declared(settings.ReservoirSettings)
    assert all(about(declared(EchoSettings)[name]) == about(one) for name, one in shared.items())
    text = inspect.getsource(settings)
    for name in set(seen) - {"seed", "dtype", *shared}:
        others = (name == "dropout") + sum(name in declared(group) for group in (  # they mean else
            settings.AdaptSettings, settings.RecurrentSettings))
        assert text.count(f"    {name}: Annotated[") == 1 + others, name


def test_defaults_pass_their_own_checks():
    for _, group in CALLS:
        for one in declared(group).values():
            value = one.checked(one.setting.default)
            assert value == one.setting.default or one.name == "labels"


@pytest.mark.parametrize("call", [
    lambda **given: fastrnn.train(fastrnn.Corpus.from_text("abcab" * 20), **given),
    lambda **given: fastrnn.Model(fastrnn.Vocabulary("ab"), **given)])
def test_an_unknown_name_is_refused_with_the_nearest(call):
    with pytest.raises(TypeError, match="no argument 'hiden_size': did you mean 'hidden_size'"):
        call(hiden_size=3)


def test_a_checkpoint_stores_what_is_declared(tmp_path):
    path = tmp_path / "m.safetensors"
    corpus = fastrnn.Corpus.from_text("abcab" * 20)
    fastrnn.train(corpus, updates=2, hidden_size=3, checkpoint=path, progress=False)
    from fastrnn.training.checkpoint import read

    about = read(path)[2]
    stored = set(about["model"]) | set(about["trainer"]["config"])
    left_out = {*settings.NOT_STORED, *declared(settings.ReservoirSettings), "resume", "repeat",
                "preset", "init_from"}
    assert stored == set(declared(TrainSettings)) - left_out


# ---- what an editor and a type checker see ----

GOOD = """\
import fastrnn
model = fastrnn.train("book.txt", cell="lstm", hidden_size=3, clip_norm=None, epochs=1)
text: str = model.sample(20, temperature=0.5)
texts: list[str] = model.sample(20, n=3)
trainer = fastrnn.Trainer(model, fastrnn.Corpus.from_file("book.txt"), batch_size=2)
network = fastrnn.EchoStateNetwork(50, leak_rate=0.5, ridge=1e-3)
other = fastrnn.Model(fastrnn.Vocabulary("ab"), hidden_size=2, init=None)
"""
BAD = {
    'fastrnn.train("book.txt", hiden_size=3)': "hiden_size",
    'fastrnn.train("book.txt", hidden_size="3")': "hidden_size",
    'fastrnn.Model(fastrnn.Vocabulary("ab"), epochs=3)': "epochs",
    'fastrnn.EchoStateNetwork(leak=3)': "leak",
    'fastrnn.load("m").sample(temprature=2)': "temprature",  # codespell:ignore
}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_know_names_and_types(tmp_path, checker):
    program = shutil.which(checker)
    if program is None or (checker == "mypy" and importlib.util.find_spec("mypy") is None):
        pytest.skip(f"{checker} is not installed")
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "c")]
    else:
        command = [program, "--pythonpath", sys.executable]
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(GOOD)
    bad.write_text("import fastrnn\n" + "\n".join(BAD) + "\n")
    found = subprocess.run([*command, str(good)], capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    found = subprocess.run([*command, str(bad)], capture_output=True, text=True, cwd=tmp_path)
    for line, name in enumerate(BAD.values(), 2):
        said = [text for text in found.stdout.split("\n") if f"bad.py:{line}:" in text]
        assert any(name in text or "overload" in text for text in said), (line, found.stdout)


def test_completion_in_a_notebook_sees_them():
    """Jupyter completes keywords from the run-time signature."""
    for name in ("hidden_size", "batch_size", "resume"):
        assert name in inspect.signature(fastrnn.train).parameters
    assert "hidden_size" in typing.get_type_hints(TrainSettings)

"""The losses of a run that goes on, drawn into a file or a notebook."""

import io
import sys
import types
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import fastrnn
from fastrnn import cli, plot
from fastrnn.figures import live as live_module
from fastrnn.figures.live import Live

pytest.importorskip("matplotlib")
TEXT = "".join(np.random.default_rng(0).choice([*"abcdefgh \n"], 700))
SETTINGS = {"preset": "classic", "hidden_size": 5, "seq_length": 6, "updates": 60,
            "progress": False, "log_every": 20}


@pytest.fixture
def often(monkeypatch):
    """Pictures at every event; the number of updates in each, and its last training loss."""
    monkeypatch.setattr(live_module, "PAUSE", -1.0)
    monkeypatch.setattr(live_module, "EFFORT", 0)
    pictures, draw = [], live_module.draw_losses

    def watched(runs, **how):
        axes = draw(runs, **how)
        x, y = axes.lines[1].get_data()
        pictures.append((int(x[-1]), float(y[-1])))
        return axes

    monkeypatch.setattr(live_module, "draw_losses", watched)
    return pictures


def train(**settings):
    return fastrnn.train(fastrnn.Corpus.from_text(TEXT), **SETTINGS | settings)


def test_it_is_drawn_while_a_model_is_trained(often, tmp_path):
    path = tmp_path / "loss.png"
    seen = []
    drawing = plot.live(path)

    def listener(event):
        drawing(event)
        seen.append((event.kind, path.is_file() and path.read_bytes(), drawing.current))

    model = train(on_event=listener)
    losses = model.history.smooth_loss
    assert often == [(at, losses[at - 1]) for at, _ in often]
    assert {20, 40, 60} <= {at for at, _ in often}
    assert seen[0] == ("started", False, False) and (seen[-1][0], seen[-1][2]) == ("ended", True)
    whole = [picture for _, picture, _ in seen if picture]
    assert all(picture.startswith(b"\x89PNG") and b"IEND" in picture[-12:] for picture in whole)
    assert len(set(whole)) >= 3 and [each.name for each in tmp_path.iterdir()] == ["loss.png"]
    assert model.block.tobytes() == train().block.tobytes()  # no number changes


def test_it_is_drawn_after_ctrl_c(often, tmp_path):
    def interrupt(trainer):
        if trainer.update >= 25:
            raise KeyboardInterrupt

    model = train(callback=interrupt, callback_every=5, on_event=plot.live(tmp_path / "loss.svg"))
    assert model.history.stopped == "interrupted"
    assert often[-1][0] == len(model.history) == 25


def test_a_fiftieth_of_the_time_goes_into_it(monkeypatch, tmp_path):
    """By a clock that a picture moves by 0.3, 0.5 or 2 seconds, and a piece of the training by
    0.1."""
    now = [1000.0]
    monkeypatch.setattr(live_module, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    drawing, at = Live(tmp_path / "a.png"), []

    def draw(history):
        at.append(now[0])
        now[0] += [0.3, 0.5, 2.0][len(at) % 3]

    monkeypatch.setattr(drawing, "_draw", draw)
    trainer = SimpleNamespace(history=[1.0])
    drawing(SimpleNamespace(kind="started", trainer=trainer))
    for _ in range(20_000):
        now[0] += 0.1
        drawing(SimpleNamespace(kind="progress", trainer=trainer))
    costs = [[0.3, 0.5, 2.0][number % 3] for number in range(1, len(at) + 1)]
    assert 10 < len(at) and min(np.diff(at)) > 2
    assert sum(costs) <= 0.0201 * (now[0] - 1000)
    before = len(at)
    drawing(SimpleNamespace(kind="ended", trainer=trainer))
    assert len(at) == before + 1  # whatever it takes


def test_a_full_disk_does_not_end_the_training(often, monkeypatch, tmp_path):
    def full(*_):
        raise OSError("cannot write 'loss.png' (No space left on device)")

    monkeypatch.setattr(live_module, "write", full)
    drawing = plot.live(tmp_path / "loss.png")
    with pytest.warns(UserWarning, match="No space left on device.*the training goes on") as found:
        model = train(on_event=drawing)
    assert len(found) == 1 and len(model.history) == 60 and not drawing.current


def test_what_cannot_be_drawn_is_known_before_the_training():
    with pytest.raises(ValueError, match=r"elsewhere name a file, live\('loss.png'\)"):
        plot.live()
    with pytest.raises(ValueError, match="'loss': the name of a plot ends in one of"):
        plot.live("loss")


def test_a_notebook_has_one_picture_that_changes(tmp_path):
    """A real notebook, run by a kernel: its output has one picture, that of the whole run."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    if find_spec("ipykernel") is None:  # imported, bars of later tests would be a notebook's
        pytest.skip("there is no ipykernel")
    code = f"""
import fastrnn
from fastrnn.figures import live
live.PAUSE, live.EFFORT = -1, 0
fastrnn.train(fastrnn.Corpus.from_text({TEXT!r}), **{SETTINGS!r}, on_event=fastrnn.plot.live());
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3",
                            resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = [each for each in book.cells[0].outputs if each.output_type != "stream"]
    assert output.output_type == "display_data" and set(output.data) >= {"image/png"}


def test_a_notebook_is_told_to_replace_the_picture(often, monkeypatch):
    """By a stand-in for IPython.display that keeps what it is told."""
    told = []

    class Handle:
        def update(self, image):
            told.append(("update", image))

    def display(image, display_id):
        assert display_id is True
        told.append(("display", image))
        return Handle()

    notebook = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(kernel=None))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(
        Image=lambda data: data, display=display))
    train(on_event=plot.live())
    assert [kind for kind, _ in told] == ["display"] + ["update"] * (len(often) - 1)
    assert len(often) >= 3
    from matplotlib.image import imread
    assert imread(io.BytesIO(told[-1][1])).shape == (405, 720, 4)
    if "matplotlib.pyplot" in sys.modules:  # which would keep, and show, each of them
        assert not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_command_line_draws_while_it_trains(often, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    arguments = ["train", "book.txt", "--preset", "classic", "--hidden-size", "5", "--updates",
                 "60", "--log-every", "30", "--no-progress", "--plot", "loss.png"]
    assert cli.main(arguments) == 0
    assert {30, 60} <= {at for at, _ in often}
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_failed_is_drawn_at_the_end(monkeypatch, tmp_path, capsys):
    def full(*_):
        raise OSError("cannot write 'loss.png' (No space left on device)")

    monkeypatch.setattr(live_module, "write", full)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    assert cli.main(["train", "book.txt", "--preset", "classic", "--updates", "9", "--no-progress",
                     "--plot", "loss.png"]) == 0
    assert capsys.readouterr().err.count("No space left") == 1
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

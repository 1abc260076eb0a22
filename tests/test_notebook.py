"""How notebooks show models, histories, gradient checks, bars and samples."""
import re
from html.parser import HTMLParser
from importlib.util import find_spec
from xml.etree import ElementTree

import numpy as np
import pytest
from runs import SIZES, corpus_of, train

import fastrnn


class Cells(HTMLParser):
    """The rows of the tables of a page, and its other texts."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.inside = [], set(), False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.inside = tag in ("td", "th") or (self.inside and tag == "span")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag == "span"

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def numbers(text):
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


@pytest.fixture(scope="module")
def model():
    return train(corpus_of(), **SIZES, cell="lstm", num_layers=2, updates=120, valid_fraction=0.1,
                 valid_every=40, samples_at=[50])


def test_a_model(model):
    table = dict(Cells(model._repr_html_()).rows)
    history, last = model.history, model.history.loss[-30:].mean() / 6
    assert table["cell"] == "LSTM (lstm)" and table["size"] == "2 layers of 9 hidden units"
    assert table["data"] == "a text of 10 symbols, by chars"
    # 4 gates, inputs of 10 symbols and of 9 units, and the head
    count = 4 * 9 * (10 + 9 + 1) + 4 * 9 * (9 + 9 + 1) + 9 * 10 + 10
    assert table["parameters"] == f"{count:,}, float32" and table["trained"] == "120 updates"
    for row, loss in (("training loss", last),
                      ("lowest validation loss", history.valid_loss.min())):
        assert "nats per char" in table[row]
        np.testing.assert_allclose(numbers(table[row]), [loss, loss / np.log(2), np.exp(loss)],
                                   atol=6e-3)


def test_a_model_of_numbers_and_one_without_training():
    sizes = fastrnn.Sizes(input_size=3, output_size=2)
    table = dict(Cells(fastrnn.Model(sizes, cell="gru", hidden_size=4)._repr_html_()).rows)
    assert table["loss"] == "mean squared error" and "3 numbers in, 2" in table["data"]
    assert not any("trained" in name or "training" in name for name in table)


def test_a_history(model):
    history = model.history
    html = history._repr_html_()
    table = dict(Cells(html).rows)
    assert table["updates"] == "120" and table["ended"] == "finished"
    assert table["samples"] == "1 sample" and "mean of the last 30 updates" in table[
        "training loss"]
    assert numbers(table["validation loss"])[0] == pytest.approx(history.valid_loss[-1], abs=6e-4)
    best = int(history.valid_loss.argmin())
    assert table["the lowest"].endswith(f"after {history.valid_updates[best]} updates")
    # the curves: heights are losses, up to a scale
    curves = [np.array([point.split(",") for point in line.get("points").split()], float)
              for line in ElementTree.fromstring(html[html.index("<svg"):html.index("</svg>") + 6])
              .iter("polyline")]
    shown = np.concatenate([np.interp([1, 60, 120], np.arange(1, 121), history.train_loss),
                            history.valid_loss])
    places = np.concatenate([np.interp([1, 60, 120], np.linspace(1, 120, len(curves[0])),
                                       curves[0][:, 1]), curves[1][:, 1]])
    assert np.corrcoef(shown, places)[0, 1] < -0.9999
    assert curves[1][:, 0] == pytest.approx(np.interp(history.valid_updates, [1, 120],
                                                      curves[0][[0, -1], 0]), abs=0.2)
    assert "History of no updates" in fastrnn.History()._repr_html_()


def test_a_gradient_check():
    corpus = corpus_of()
    net = fastrnn.Model(corpus.vocabulary, hidden_size=4, dtype="float64")
    report = fastrnn.gradcheck(net, corpus.ids[None, :5], corpus.ids[None, 1:6])
    html = report._repr_html_()
    head, *rows = Cells(html).rows
    assert [row[0] for row in rows] == list(net.params) and report.verdict in html
    for row in rows:
        worst = report.worst[row[0]]
        at = dict(zip(head, row, strict=True))
        assert at["checked"] == f"{worst.checked} of {worst.size}"
        assert float(at["worst error"]) == pytest.approx(worst.error, rel=0.01)
        assert float(at["analytic"]) == pytest.approx(worst.analytic, rel=1e-6)
    assert all(line in html for line in str(report).split("\n")[len(rows) + 1:])


def test_texts_of_strangers():
    """Labels are escaped."""
    evil = "<script>alert(1)</script>\x1b"
    corpus = fastrnn.Corpus.from_records(["abc", "abd"] * 9, labels=[evil, "fine"] * 9)
    strange = fastrnn.Model(corpus.vocabulary, hidden_size=3, labels=list(corpus.labels))
    found = Cells(strange._repr_html_())
    assert "script" not in found.tags
    assert "<script>alert(1)</script>\\x1b" in dict(found.rows)["labels"]


def test_a_run_in_a_notebook():
    """Bar and samples stand on standard output, in the order in which they came; nothing is an
    error; the last value is shown as HTML."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    if find_spec("ipykernel") is None:  # imported, bars of later tests would be a notebook's
        pytest.skip("there is no ipykernel")
    code = ("import fastrnn\n"
            "corpus = fastrnn.Corpus.from_text('to be or not to be ' * 50)\n"
            "model = fastrnn.train(corpus, preset='classic', updates=300, sample_every=100)\n"
            "model.history")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    try:
        nbclient.NotebookClient(book, timeout=120, kernel_name="python3").execute()
    except nbclient.exceptions.DeadKernelError as error:
        pytest.skip(f"no kernel: {error}")
    outputs = book.cells[0].outputs
    assert not [o for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert [int(n) for n in re.findall(r"---- update (\d+)", printed)] == [0, 100, 200, 300]
    assert "data        text: 950 chars" in printed and "plan " in printed
    bars = printed + "".join(o.data.get("text/plain", "") for o in outputs
                             if o.output_type == "display_data")
    assert "%|" in bars
    (result,) = [o for o in outputs if o.output_type == "execute_result"]
    assert "<svg" in result.data["text/html"] and "History of 300" in result.data["text/plain"]

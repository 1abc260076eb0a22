"""Reports as Markdown and PDF: strange texts stay texts, files of others stay as they are."""
import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest

import fastrnn
from fastrnn import svg
from fastrnn.html import colors
from fastrnn.pages import as_pdf, formats
from fastrnn.pages.as_markdown import inline, markdown
from fastrnn.pages.blocks import (
    Chart,
    Command,
    Document,
    Sample,
    Samples,
    Section,
    Table,
    Task,
    Text,
)

HOSTILE = "<b>*a* _b_ `c` [d](javascript:e) | & \x1b[2J\u202e ~~f~~ $g$ snake_case\n# h"


def chart(inside=False):
    return svg.line_chart([svg.Line(HOSTILE, [0, 1], [2, 3]), svg.Line("b", [0, 1], [1, 2])],
                          "update", "loss (nats)", title="Loss & <more>", inside=inside)


DOCUMENT = Document("A *title*", "of <a file>", [
    Section("First | section", [Text(HOSTILE), Task("why"), Command("fastrnn train 'a b.txt'")]),
    Section("Second", [
        Table([(HOSTILE, 1234, "0.5"), ("b", 5, "-1.25")], ("name", "count", "x"), "caption_"),
        Chart(chart, "a caption"), Sample("a sample", "```\n<script>\n````\x1b"),
        Samples([Sample("one", "1"), Sample("two", "2")])])])


def report_of(tmp_path, name, **how):
    words = np.random.default_rng(1).choice(["the cat", "a dog", "sat.", "& <i>"], 900)
    data = fastrnn.Corpus.from_text(" ".join(words), name="story")
    model = fastrnn.train(data, preset="classic", hidden_size=8, updates=60, valid_fraction=0.2,
                          progress=False)
    model.report(tmp_path / name, data, **how)
    return model


def test_markdown_shows_texts_as_they_are():
    text, charts = markdown(DOCUMENT, "report 1")
    lines = text.split("\n")
    assert inline(HOSTILE) == (
        r"\<b\>\*a\* \_b\_ \`c\` \[d\](javascript:e) \| \& \\x1b\[2J\\u202e \~\~f\~\~ \$g\$ "
        r"snake_case # h")
    assert inline(HOSTILE) in lines
    assert r"# A \*title\*" in lines and r"## First \| section" in lines
    assert "> **For you to write:** why" in lines
    at = lines.index("| name | count | x |")
    assert lines[at - 2] == r"caption\_" and lines[at + 1] == "|---|--:|--:|"
    assert lines[at + 2] == f"| {inline(HOSTILE)} | 1,234 | 0.5 |"
    at = lines.index("<script>")  # between fences longer than those in the text
    assert lines[at - 2 : at + 3] == ["`````text", "```", "<script>", r"````\x1b", "`````"]
    assert "![Loss &amp; &lt;more&gt;](report%201-1.svg)" in lines and list(charts) == [
        "report 1-1.svg"]


def test_a_chart_of_its_own_needs_no_page():
    (drawn,) = markdown(DOCUMENT, "r")[1].values()
    found = ElementTree.fromstring(drawn[: drawn.index("</svg>\n") + 6])
    assert found.tag == "{http://www.w3.org/2000/svg}svg" and "var(" not in drawn
    strokes = [line.get("stroke") for line in found.iter("{http://www.w3.org/2000/svg}polyline")]
    assert strokes == [colors()["series0"], colors()["series1"]]
    texts = [each.text for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert "b" in texts and "loss (nats)" in texts  # the names of the lines are in it
    height = float(found.get("height"))
    places = [float(each.get("y") or 0) for each in found.iter("{http://www.w3.org/2000/svg}text")]
    assert max(places) < height


def test_texts_that_look_like_colours_stay(tmp_path):
    drawn = svg.line_chart([svg.Line('="var(--ink)"', [0, 1], [0, 1])], "x", "y", title="t",
                           inside=True)
    assert "=&quot;var(--ink)&quot;" in svg.standalone(drawn, colors())
    assert set(colors()) == set(colors(dark=True)) and colors()["ink"] != colors(True)["ink"]


def test_markdown_with_its_charts(tmp_path):
    model = report_of(tmp_path, "a report.md")
    names = [f"a report-{i}.svg" for i in (1, 2, 3)] + ["a report.md"]
    assert sorted(os.listdir(tmp_path)) == names
    text = (tmp_path / "a report.md").read_text("utf-8")
    assert "](a%20report-1.svg)" in text and f"{model.sample(1000, seed=0)}\n" in text
    before = (tmp_path / "a report-1.svg").read_bytes()
    model.report(tmp_path / "a report.md")  # over the earlier one
    assert (tmp_path / "a report-1.svg").read_bytes() == before
    (tmp_path / "b-1.svg").write_text("<svg>mine</svg>")
    with pytest.raises(OSError, match=r"b-1.svg' exists, and fastrnn did not write it"):
        model.report(tmp_path / "b.md")
    (tmp_path / "c.md").write_text("mine")
    with pytest.raises(OSError, match=r"c.md' exists"):
        model.report(tmp_path / "c.md")
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "b-1.svg", "c.md"])


def test_what_cannot_be_written_leaves_no_charts(tmp_path, monkeypatch):
    write = formats._write

    def failing(path, data, overwrite):
        if str(path).endswith(".md"):
            raise OSError("no space")
        write(path, data, overwrite)

    monkeypatch.setattr(formats, "_write", failing)
    with pytest.raises(OSError, match="no space"):
        report_of(tmp_path, "a.md")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.docx", "a.md.gz"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"written as \.html, \.pdf or \.md"):
        report_of(tmp_path, name)
    assert not os.listdir(tmp_path)


def weasyprint():
    try:
        return as_pdf.printer()
    except ImportError as missing:
        pytest.skip(str(missing))


def test_a_pdf_has_all_texts_on_a4(tmp_path):
    weasyprint()
    model = report_of(tmp_path, "a.pdf", course="char-rnn")
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF") and 20_000 < len(data) < 3_000_000
    model.report(tmp_path / "a.pdf", course="kth")  # over the earlier one
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is missing: apt-get install poppler-utils")
    text = subprocess.run(["pdftotext", "-layout", tmp_path / "a.pdf", "-"], check=True,
                          capture_output=True, text=True).stdout
    for part in ("KTH DD2424", "Are the gradients right?", "For you to write:"):
        assert part in text
    pages = text.split("\f")
    assert f"1/{len(pages) - 1}" in pages[0].replace(" ", "")
    whole = re.sub(r"\s+", "", model.sample(1000, seed=0))
    assert whole[:300] in re.sub(r"\s+", "", text)
    about = subprocess.run(["pdfinfo", tmp_path / "a.pdf"], check=True, capture_output=True,
                           text=True).stdout
    assert "(A4)" in about and "Creator:         fastrnn" in about


def test_no_line_of_long_samples_is_lost_between_pages(tmp_path):
    weasyprint()
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is missing: apt-get install poppler-utils")
    texts = ["\n".join(f"s{s}line{i}" for i in range(n)) for s, n in enumerate((50, 70, 3, 150))]
    formats.write(tmp_path / "a.pdf", Document("t", "s", [Section("a", [
        Samples([Sample(f"sample {s}", text) for s, text in enumerate(texts)])])]))
    found = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], check=True,
                           capture_output=True, text=True).stdout.split()
    lines = [line for text in texts for line in text.split("\n")]
    assert sorted(word for word in found if "line" in word) == sorted(lines)


def test_a_title_stands_on_the_page_of_its_text(tmp_path):
    weasyprint()
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext is missing: apt-get install poppler-utils")
    # pages of samples, whose ends are at all places
    samples = [Sample(f"title{i}:", "\n".join([f"text{i}:", *"abc"[: i % 4]])) for i in range(60)]
    formats.write(tmp_path / "a.pdf", Document("t", "s", [Section("a", samples)]))
    found = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], check=True,
                           capture_output=True, encoding="utf-8").stdout
    pages = found.split("\f")
    assert len(pages) > 4
    for i in range(60):
        assert [f"title{i}:" in page for page in pages] == [f"text{i}:" in page for page in pages]


def test_a_pdf_of_strange_texts_loads_nothing(tmp_path, caplog):
    weasyprint()
    strange = Document("<img src='file:///etc/passwd'>", "url(http://a.example/)", [Section(
        "a", [Text('<link rel="stylesheet" href="http://a.example/">'), Chart(chart, HOSTILE)])])
    formats.write(tmp_path / "a.pdf", strange)
    assert "example" not in caplog.text and "passwd" not in caplog.text
    with pytest.raises(ValueError, match="loads nothing"):
        as_pdf._refuse("http://a.example/")


def test_a_pdf_of_others_stays(tmp_path):
    weasyprint()
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 mine")
    with pytest.raises(OSError, match="did not write it"):
        report_of(tmp_path, "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == b"%PDF-1.7 mine"


def test_without_weasyprint_it_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "weasyprint", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[report\]"'):
        report_of(tmp_path, "a.pdf")
    assert not os.listdir(tmp_path)

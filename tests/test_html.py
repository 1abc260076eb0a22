"""Pages and charts: texts of strangers do no harm, points are where they belong."""

import base64
import hashlib
import json
import re
import unicodedata
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from fastrnn import html, svg

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
HOSTILE = "</script><script>alert(1)</script><!-- \u202e\x1b]0;x\x07 & \"' \u2028 \ud800 é 字"


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def parsed(text):
    parser = Parser()
    parser.feed(text)
    parser.close()
    return parser


def test_a_strange_text_is_text():
    found = parsed(html.visible(HOSTILE))
    assert set(found.tags) == {"span"}
    assert "".join(found.texts) == (
        "</script><script>alert(1)</script><!-- \\u202e\\x1b]0;x\\x07 & \"' \\u2028 \\ud800 é 字")


def test_all_that_turns_the_direction_of_writing_is_written_out():
    turning = [chr(code) for code in range(0x110000)
               if unicodedata.bidirectional(chr(code)) in BIDI or code in (0x061c, 0x200e, 0x200f)]
    assert len(turning) == 12
    assert html.plain("".join(turning)) == "".join(f"\\u{ord(each):04x}" for each in turning)


def test_data_in_a_page_is_read_back():
    data = {"text": HOSTILE.replace("\ud800", ""), "numbers": [1, 2.5]}
    found = html.embed(data, "data")
    assert found.count("<") == 2 and "&" not in found  # the element itself
    assert json.loads(re.fullmatch(r"<script [^>]*>(.*)</script>", found)[1]) == data
    with pytest.raises(ValueError, match="JSON"):
        html.embed([float("nan")], "data")


def test_only_its_own_script_may_run():
    page = html.document("a < b", "<p>", script="go(1 < 2)")
    digest = base64.b64encode(hashlib.sha256(b"go(1 < 2)").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "<script>go(1 < 2)</script>" in page
    assert "<title>a &lt; b</title>" in page
    assert "script-src 'none'" in html.document("t", "") and "<script" not in html.document("t", "")
    page.encode()  # no surrogates


def test_a_table_sets_numbers_on_the_right():
    found = html.table([("a<b", 1234, 0.5), ("c", 5, 2.25)], ("name", "count", "loss"))
    assert '<td class=number>1,234</td>' in found and "<td class=whole>a&lt;b</td>" in found
    assert '<th scope="col" class=number>count' in found
    assert '<th scope="col" class=whole>name' in found
    found = html.table([("1.5e-07", "12 %", "3 x"), ("", "-1,234.5", "4")])
    assert found.count("class=number") == 4  # an empty cell too
    assert "<td class=whole>4</td>" in found


def test_words_of_a_table_are_broken_where_they_are_long():
    found = html.table([("cross_entropy", "two words"), ("a" * 50_000, "short " + "b" * 21)])
    assert found.count("<td class=whole>") == 2 and found.count("<td>") == 2


@pytest.mark.parametrize("last", [7, 6_000, 300_000, 10_000_000])
def test_numbers_below_a_chart_are_whole(last):
    chart = svg.line_chart([svg.Line("", [1, last], [1, 2])], "update", "loss", title="t")
    found = ElementTree.fromstring(chart[: chart.index("</svg>") + 6])
    texts = [t for t in found.findall("text") if t.text.replace(",", "").isdigit()]
    assert f"{last:,}" in [t.text for t in texts]
    for text in texts:  # a digit of 12 px sans serif is 7.6 px wide, with DejaVu, a wide font
        assert float(text.get("x")) + 7.6 * len(text.text) / 2 <= 720


def points(chart):
    found = ElementTree.fromstring(chart[: chart.index("</svg>") + 6])
    lines = found.findall(".//polyline")
    return [np.array([pair.split(",") for pair in line.get("points").split()], float)
            for line in lines]


def test_points_are_at_their_place_between_the_ticks():
    chart = svg.line_chart([svg.Line("a", [0, 5, 10], [1, np.nan, 3]),
                            svg.Line("b & c", [0, 10], [2, 1])], "update", "loss (nats)", title="t")
    first, second = points(chart)
    np.testing.assert_allclose(first, [[58, 298], [706, 12]])
    np.testing.assert_allclose(second, [[58, 155], [706, 298]])
    assert "b &amp; c" in chart and "loss (nats)" in chart


def test_a_long_curve_keeps_its_extremes_and_few_points():
    y = np.sin(np.arange(300_000) / 1000)
    y[123_456], y[200_001] = 7, -5
    (found,) = points(svg.line_chart([svg.Line("", np.arange(y.size), y)], "x", "y", title="t"))
    assert len(found) < 1500
    assert found[:, 1].min() == 12 and found[:, 1].max() == 298


@pytest.mark.parametrize(("low", "high", "ticks"), [
    (0, 10, [0, 2, 4, 6, 8, 10]), (1.13, 3.02, [1.5, 2, 2.5, 3]), (-3, 4, [-2, 0, 2, 4]),
    (0, 299_999, [0, 50_000, 100_000, 150_000, 200_000, 250_000])])
def test_ticks_are_round(low, high, ticks):
    np.testing.assert_allclose(svg.nice_ticks(low, high, 6 if high != 299_999 else 7), ticks)


def test_a_logarithmic_axis():
    chart = svg.line_chart([svg.Line("a", [0, 1, 2, 3], [1, 0, 10, 1000])], "x", "y", title="t",
                           log=True, verticals=[1.5])
    (found,) = points(chart)  # y = 0 is left out; one third of the height for each power of ten
    np.testing.assert_allclose(found, [[58, 298], [490, 12 + 286 * 2 / 3], [706, 12]], atol=0.06)
    assert [f">{y}<" in chart for y in ("1", "10", "100", "1,000")] == [True] * 4
    assert 'd="M382.0 12V298"' in chart


@pytest.mark.parametrize(("low", "high", "numbers"), [
    (0.01, 3, [0.01, 0.1, 1]), (1.5, 40, [2, 5, 10, 20]), (1e-9, 1e9, None)])
def test_ticks_of_a_logarithmic_axis(low, high, numbers):
    found = 10 ** np.array(svg.powers(np.log10(low), np.log10(high), 6))
    assert 3 <= len(found) <= 6
    if numbers:
        assert set(np.round(numbers, 9)) <= set(np.round(found, 9))


def test_charts_of_little():
    assert "no data" in svg.line_chart([svg.Line("a", [], [])], "x", "y", title="t")
    assert "nan" not in svg.line_chart([svg.Line("a", [3], [4])], "x", "y", title="t").lower()
    bars = svg.bar_chart(["<a>", "b"], [1, 2], "nats", title="t", marked=[1])
    widths = [float(r.get("width")) for r in ElementTree.fromstring(bars).findall("rect")]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2) and "&lt;a&gt;" in bars

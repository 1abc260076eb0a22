"""What the page of `look` holds: symbols, expectations, values and gradients, ready for JSON."""

import base64
import math
import unicodedata
import zlib
from typing import Any

import numpy as np

from ..data.vocabulary import Vocabulary
from ..html import plain
from ..insight.activations import Activations, Array
from ..insight.units import Correlations

MOST_PACKED = 2_600_000  # characters of the page that hold the values
LEVELS = (127, 63, 31, 15)  # each value is one of 2 n + 1: of the most that keep within that
LIKELIEST = 5
DECADES = 10  # of gradients that are told apart
TITLES = {"h": "output", "c": "cell state", "m": "memory", "i": "input gate", "f": "forget gate",
          "o": "output gate", "g": "candidate", "r": "reset gate", "z": "update gate",
          "n": "candidate"}
GATES = "iforz"  # between 0 and 1
SEEN = {" ": "␣", "\n": "↵", "\t": "⇥"}


def data_of(vocabulary: Vocabulary, found: Activations, followed: Correlations,
            series: list[tuple[int, str]], norms: Array | None,
            start: tuple[int, str, int]) -> dict[str, Any]:
    """All that look.js needs: `series` are layer and name of the values in the order of the page,
    `norms` what `reach` found, `start` the layer, value and unit that are shown first."""
    return _symbols(found, vocabulary) | _values(found, series, norms) | {
        "start": [series.index(start[:2]), start[2], _surprising(found)],
        "features": [*followed.features], "chance": _rounded(followed.chance),
        "follows": _follows(followed)}


def _symbols(found: Activations, vocabulary: Vocabulary) -> dict[str, Any]:
    """The symbols that are shown, and for each what was expected in its place. What step t predicts
    belongs to the next symbol; a text's first one has no prediction."""
    ends = found.targets[-1:][found.targets[-1:] >= 0]  # the stop symbol of a record
    ids = np.append(found.ids, ends)
    p = found.probabilities[: len(ids) - 1]
    likely = np.argsort(-p, axis=1, kind="stable")[:, :LIKELIEST]
    bits = found.surprisal[: len(ids) - 1] / math.log(2)
    known = np.unique(np.append(likely, ids))
    return {"ids": ids.tolist(), "read": len(found.ids), "likely": likely.tolist(),
            "p": [_rounded(row) for row in np.take_along_axis(p, likely, axis=1)],
            "bits": _rounded(np.minimum(bits, 1e4)),  # log 0 is infinite: JSON has no such number
            "uniform": round(math.log2(len(vocabulary)), 3),
            "names": {int(i): name_of(vocabulary, i) for i in known}}


def _values(found: Activations, series: list[tuple[int, str]],
            norms: Array | None) -> dict[str, Any]:
    """All values and gradients, compressed, and what is needed to read them. A value is center +
    scale * code, with an int8 for each unit and step and a scale for each unit; the error is at
    most half the scale."""
    gradients, about = (b"", None) if norms is None else _gradients(norms)
    for levels in LEVELS:
        codes, scales = [], []
        for layer, name in series:
            values = found.layers[layer][name]  # (T, H)
            scale = (np.full(values.shape[1], 0.5 / levels) if name in GATES
                     else abs(values).max(axis=0) / levels)
            scale = np.where(scale > 0, scale, 1)
            center = 0.5 if name in GATES else 0
            codes.append(np.round((values - center) / scale).astype(np.int8).T.tobytes())
            scales.append((center, scale))
        packed = base64.b64encode(zlib.compress(b"".join(codes) + gradients)).decode()
        if len(packed) <= MOST_PACKED:
            break
    return {"levels": levels, "packed": packed, "reach": about, "series": [
        {"layer": layer, "name": name, "title": TITLES[name], "center": center,
         "scale": [float(f"{s:.5g}") for s in scale]}
        for (layer, name), (center, scale) in zip(series, scales, strict=True)]}


def _gradients(norms: Array) -> tuple[bytes, dict[str, Any] | None]:
    """Norms (T, lags) as a byte each: 0 where there is none, 1 below `low`, else 2 to 255 in equal
    steps of the logarithm from low to high."""
    positive = norms[norms > 0]
    if not positive.size:
        return b"", None
    high = math.log10(positive.max())
    low = max(math.log10(positive.min()), high - DECADES)
    with np.errstate(divide="ignore"):
        codes = 2 + np.round((np.log10(norms) - low) / max(high - low, 1e-9) * 253)
    codes = np.where(np.isnan(codes), 0, np.clip(codes, 1, 255))
    known = np.isfinite(norms)
    mean = np.where(known, norms, 0).sum(axis=0) / np.maximum(1, known.sum(axis=0))
    return codes.astype(np.uint8).tobytes(), {
        "low": low, "high": high, "lags": norms.shape[1], "mean": _rounded(mean)}


def _follows(followed: Correlations) -> dict[str, list[list[Any]]]:
    """For the units of each value the feature that each follows most closely, r, and r in the
    symbols after those that are shown (None where that is not known)."""
    found: dict[str, list[list[Any]]] = {}
    if followed.features:
        best = abs(followed.r).argmax(axis=0)
        for u, (layer, name, _) in enumerate(followed.units):
            after = math.nan if followed.after is None else float(followed.after[best[u], u])
            found.setdefault(f"{layer}:{name}", []).append([
                int(best[u]), round(float(followed.r[best[u], u]), 3),
                None if math.isnan(after) else round(after, 3)])
    return found


def _rounded(numbers: Array) -> list[float]:
    return [float(f"{number:.4g}") for number in numbers]


def name_of(vocabulary: Vocabulary, number: int) -> str:
    """A symbol as one sees it, without what could not be seen or would change what stands by it."""
    symbol = vocabulary.symbols[number]
    if vocabulary.stop is not None and symbol in (vocabulary.start, vocabulary.stop):
        return "⟨start⟩" if symbol == vocabulary.start else "⟨stop⟩"
    if vocabulary.unit == "bpe":
        return "".join(map(_of_character, vocabulary.texts[number]))
    if vocabulary.unit == "word":
        return plain(str(symbol)) or "(empty)"
    if isinstance(symbol, int):
        return _of_character(chr(symbol)) if symbol < 128 else f"\\x{symbol:02x}"
    return _of_character(symbol)


def _of_character(character: str) -> str:
    if character in SEEN:
        return SEEN[character]
    kind, code = unicodedata.category(character), ord(character)
    if kind[0] in "CZ" or "VARIATION SELECTOR" in unicodedata.name(character, ""):
        form = "\\x{:02x}" if code < 256 else "\\u{:04x}" if code < 65536 else "\\U{:08x}"
        return form.format(code)
    return f"◌{character}" if kind[0] == "M" else character


def _surprising(found: Activations) -> int:
    """The position of a symbol to begin with: the most surprising near the start of the text, but
    not among the first ones, which have little before them."""
    near = found.surprisal[: min(400, len(found.ids) - 1)]
    first = min(50, len(near) // 2)
    return 1 + first + int(near[first:].argmax()) if near.size else 0

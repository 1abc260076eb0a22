"""Control characters in a text: a model learns them, and a terminal obeys them."""

from typing import Any

import numpy as np

from ..screen import CONTROLS

NAMES = {"\0": "NUL", "\a": "bell", "\b": "backspace", "\v": "vertical tab", "\f": "form feed",
         "\r": "carriage return without a line feed", "\x1b": "escape", "\x7f": "delete"}
MOST = 4  # kinds that are named one by one


def note(corpus: Any) -> str | None:
    """What to know before a training on a `Corpus` with control characters: how many, and where the
    first is. None if there are none, and for unit "byte", which reads any data."""
    vocabulary = corpus.vocabulary
    if vocabulary is None or vocabulary.unit == "byte" or not hasattr(corpus, "ids"):
        return None
    own = (vocabulary.start, vocabulary.stop)
    found = {i: CONTROLS.search(symbol) for i, symbol in enumerate(vocabulary.texts)
             if symbol not in own}
    kinds = {i: match[0] for i, match in found.items() if match}
    if not kinds:
        return None
    strange = np.zeros(len(vocabulary), bool)
    strange[list(kinds)] = True
    places = np.flatnonzero(strange[corpus.ids])
    if vocabulary.unit in ("char", "bpe"):
        places = places[~_ends_of_lines(corpus.ids, places, vocabulary.texts)]
    ids = corpus.ids[places]
    counts: dict[str, list[int]] = {}  # of each character: how many, and the first place
    for i in dict.fromkeys(ids.tolist()):
        count, first = counts.get(kinds[i], [0, len(corpus.ids)])
        here = ids == i
        counts[kinds[i]] = [count + int(here.sum()), min(first, int(places[here.argmax()]))]
    if not counts:
        return None
    parts = [f"{count:,} of {_name(character)}{_where(corpus, first)}"
             for character, (count, first) in list(counts.items())[:MOST]]
    more = [count for count, _ in counts.values()][MOST:]
    if more:
        parts.append(f"{sum(more):,} of {len(more)} more")
    advice = " (line ends of an old Mac: make them line feeds)" if "\r" in counts else ""
    return (f"{corpus.name} has control characters, which the model learns to write: "
            f"{'; '.join(parts)}{advice}: take out what is no part of the text")


def _ends_of_lines(ids: Any, places: Any, texts: list[str]) -> Any:
    """Which of the places have the carriage return of a CR LF, and no other control character."""
    returns = np.array([text[-1:] == "\r" and not CONTROLS.search(text[:-1]) for text in texts])
    feeds = np.array([text[:1] == "\n" for text in texts])
    return returns[ids[places]] & feeds[ids[np.minimum(places + 1, len(ids) - 1)]]


def _name(character: str) -> str:
    meaning = f" ({NAMES[character]})" if character in NAMES else ""
    return f"U+{ord(character):04X}{meaning}"


def _where(corpus: Any, place: int) -> str:
    """Where in a text, by symbols from 0, or in which record."""
    records = corpus.records
    if records is None:
        return f", the first at {corpus.unit} {place:,}"
    row = int(np.searchsorted(records.starts, place, "right")) - 1
    text = corpus.vocabulary.decode(corpus.ids[records.starts[row] + 1 :
                                               records.starts[row] + records.steps[row]])
    return f", the first in {text[:40]!r}"

"""From the bytes of a file to its text: by its mark, a given encoding, or UTF-8."""

import codecs

from ..validate import encoding_name

# byte order marks; that of UTF-32 begins with that of UTF-16
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"),
         (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
         (codecs.BOM_UTF16_BE, "utf-16-be"))
WESTERN, OTHERS = ("cp1252", "latin-1"), ("cp1251", "gb18030", "big5", "shift_jis", "euc_kr")
SAMPLE = 1 << 16  # bytes, a multiple of 4, that show whether a file is UTF-16 or UTF-32


def decoded(data: bytes, name: str, encoding: str | None = None) -> str:
    """The text of a file's bytes. Without an encoding in that of the byte order mark, which is
    dropped, or UTF-8.

    ValueError, with the file's `name`, for bytes that are not in this encoding; it says the byte,
    its place and, without a given encoding, probable ones."""
    mark, marked = _mark(data)
    if encoding is None:
        chosen = marked or "utf-8"
        wide = None if marked else _wide(data)
        if wide is not None:
            raise ValueError(f"{name} is probably {wide.upper()} without a byte order mark, by its "
                             f"NUL bytes: give encoding={wide!r}; encoding='utf-8' reads it as it "
                             "is")
    else:
        chosen = _fitting(encoding_name("encoding", encoding), data, marked, name)
    try:
        text = str(memoryview(data)[len(mark) :], chosen)
    except UnicodeError as error:
        offset = len(mark) + getattr(error, "start", 0)
        cut = "end of data" in getattr(error, "reason", "")
        advice = "" if encoding is not None else f"; {_advice(data, len(mark), offset, cut)}"
        byte = f"0x{data[offset]:02x}" if offset < len(data) else "missing"
        shown_name = "UTF-8" if chosen == "utf-8" else chosen
        raise ValueError(f"{name} is not {shown_name}: byte {byte} at byte offset {offset}"
                         f"{advice}") from None
    return text.removeprefix("\ufeff") if not mark else text


def marked_as_wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32, if the bytes begin with the mark of one of them."""
    name = _mark(data)[1]
    return None if name in (None, "utf-8") else name


def _mark(data: bytes) -> tuple[bytes, str | None]:
    """The byte order mark at the start, and the encoding that it means."""
    for mark, name in MARKS:
        if data.startswith(mark) and (name[:6] != "utf-32" or len(data) % 4 == 0):
            return mark, name
    return b"", None


def _fitting(given: str, data: bytes, marked: str | None, name: str) -> str:
    """The given encoding, with the byte order of the data; ValueError where the data show that it
    is another one."""
    if marked is not None:
        if given not in (marked, marked[:6], f"{marked}-sig"):
            raise ValueError(f"{name} begins with the byte order mark of {marked}, so it is not "
                             f"{given}: leave encoding out")
        return marked
    if given[:6] in ("utf-16", "utf-32"):
        if data.isascii() and data and b"\0" not in data:
            raise ValueError(f"{name} is not {given}: all its bytes are ASCII; leave encoding out")
        if len(given) == 6:  # without a mark, in either order
            wide = _wide(data)
            return wide if wide and wide.startswith(given) else f"{given}-le"
    return given


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32, where many of the bytes at odd or at even places are NUL."""
    sample = data[:SAMPLE]
    places = [sample[k::4] for k in range(4)]
    a, b, c, d = (place.count(0) / max(1, len(place)) for place in places)
    for name, full, more, letters in (("utf-32-le", d, c, a), ("utf-32-be", a, b, d)):
        if full > 0.99 and more > 0.9 and letters < 0.2:
            return name
    for name, high, low in (("utf-16-le", (b + d) / 2, (a + c) / 2),
                            ("utf-16-be", (a + c) / 2, (b + d) / 2)):
        enough = high > 0.9 or sample.count(0) > 3
        if high > 0.1 and low < high / 10 and enough:
            return name
    return None


def _mostly_one(data: bytes) -> str | None:
    """UTF-16, where most bytes at odd or at even places are the same one, as in Greek or Cyrillic
    letters."""
    shares = []
    for k in range(2):
        place = data[k:SAMPLE:2]
        shares.append(max(map(place.count, set(place)), default=0) / max(1, len(place)))
    even, odd = shares
    if max(shares) > 0.5 and min(shares) < 0.3:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _advice(data: bytes, start: int, offset: int, cut: bool) -> str:
    """What to do with a file that is not UTF-8 at this place, or `cut` off there."""
    wide = _mostly_one(data)
    if wide is not None:
        return f"it is probably {wide.upper()} without a byte order mark: give encoding={wide!r}"
    end = 'or convert the file to UTF-8, or learn its bytes with unit="byte"'
    sample = data[:SAMPLE]
    controls = sum(map(sample.count, (*range(9), *range(14, 27), *range(28, 32))))
    if controls > 0.02 * len(sample):
        return f"it seems to be no text: give a text, {end}"
    if cut or not data[start:offset].isascii():
        place = "the file ends within a character" if cut else "before that it is UTF-8"
        return f"{place}: mend that place, or give its encoding if that is another, {end}"
    foreign = len(sample.translate(None, bytes(range(128)))) > 0.25 * len(sample)
    able = [name for name in (OTHERS if foreign else WESTERN) if _reads(data, name)][:3]
    guess = " or ".join(f"encoding={name!r}" for name in able) or "encoding='cp1251'"
    return f"give its encoding, {'probably' if able else 'such as'} {guess}, {end}"


def _reads(data: bytes, encoding: str) -> bool:
    """Whether these bytes are text in an encoding: without the control characters 128 to 159, which
    latin-1 makes of other characters."""
    try:
        text = data.decode(encoding)
    except UnicodeError:
        return False
    return not any(chr(code) in text for code in range(128, 160))

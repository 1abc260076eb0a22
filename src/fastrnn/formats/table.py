"""The formats that fastrnn writes and reads, each named by the end of a file's name."""

from ..pages.play import write
from .format import Format

FORMATS = (
    Format((".html", ".htm"), "a page", "open it in a browser", write,
           frozenset(("dtype", "title"))),
)
READABLE = tuple(each for each in FORMATS if each.read is not None)

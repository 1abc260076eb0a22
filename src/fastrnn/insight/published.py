"""What others have published about texts that many models are measured on."""

from dataclasses import dataclass

from ..data.corpus import Corpus


@dataclass(frozen=True)
class Figure:
    """A loss in bits per character of some model, the part of the text that it was measured on, and
    where it is published."""

    bits: float
    model: str
    part: str
    source: str


@dataclass(frozen=True)
class Known:
    """A text that is recognized by its length in bytes and by how it begins."""

    name: str
    lengths: tuple[int, ...]
    begins: tuple[str, ...]
    figures: tuple[Figure, ...]


NANOGPT = "github.com/karpathy/nanoGPT, README"
MLSTM, DYNAMIC = "Krause et al. 2016, arXiv:1609.07959", "Krause et al. 2018, arXiv:1709.07432"
FAST_SLOW, AWD = "Mujika et al. 2017, arXiv:1705.08639", "Merity et al. 2018, arXiv:1803.08240"
DEEPER, XL = "Al-Rfou et al. 2018, arXiv:1808.04444", "Dai et al. 2019, arXiv:1901.02860"
ADAPTED = "adapted while reading (dynamic evaluation)"
LAST = "its last 5,000,000 bytes"
TEST = "the test file"

TEXTS = (
    Known("tiny-shakespeare", (1_115_394,), ("First Citizen:\nBefore we proceed any further",), (
        Figure(2.712, "transformer of 4 layers, 3 minutes on a CPU (1.88 nats)",
               "its last tenth, random windows", NANOGPT),
        Figure(2.120, "transformer of 6 layers, 3 minutes on an A100 (1.4697 nats, the best)",
               "its last tenth, random windows", NANOGPT))),
    Known("text8", (100_000_000,), (" anarchism originated as a term of abuse",), (
        Figure(1.27, "mLSTM", LAST, MLSTM),
        Figure(1.19, f"mLSTM, {ADAPTED}", LAST, DYNAMIC),
        Figure(1.13, "transformer of 64 layers", LAST, DEEPER),
        Figure(1.08, "Transformer-XL", LAST, XL))),
    Known("enwik8", (100_000_000,), ("<mediawiki xmlns=",), (
        Figure(1.25, "FS-LSTM", LAST, FAST_SLOW),
        Figure(1.24, "mLSTM", LAST, MLSTM),
        Figure(1.23, "LSTM of 3 layers (AWD)", LAST, AWD),
        Figure(1.08, f"mLSTM, {ADAPTED}", LAST, DYNAMIC),
        Figure(1.06, "transformer of 64 layers", LAST, DEEPER),
        Figure(0.99, "Transformer-XL", LAST, XL))),
    Known("Penn Treebank (characters)", (449_945, 399_782),
          (" no it was n't black monday", " consumers may want to move"), (
        Figure(1.19, "FS-LSTM", TEST, FAST_SLOW),
        Figure(1.18, "LSTM of 3 layers (AWD)", TEST, AWD),
        Figure(1.169, "LSTM with past decode regularization", TEST,
               "Brahma 2018, arXiv:1808.05908"))),
)


def known(corpus: Corpus) -> Known | None:
    """The text of published figures that a corpus of characters or bytes is, if it is one."""
    if corpus.vocabulary.stop is not None or corpus.unit == "word":
        return None
    begins = corpus.vocabulary.decode(corpus.ids[:60])
    found = [text for text in TEXTS if begins.startswith(text.begins)]
    if not found:
        return None
    length = len(corpus) if corpus.unit == "byte" else len(
        corpus.vocabulary.decode(corpus.ids).encode("utf-8", "surrogatepass"))
    return next((text for text in found if length in text.lengths), None)

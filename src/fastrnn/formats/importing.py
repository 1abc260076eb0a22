"""`fastrnn.import_model`: a model of a file that another program wrote."""

import json
import os
from pathlib import Path
from typing import Any, Unpack

from ..data.source import Sizes
from ..data.subwords import restored
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..settings import ImportSettings, checked, documented
from ..training.checkpoint import load
from .format import of_path, refuse_others
from .table import READABLE

MOST_BYTES = 2**26  # of a vocabulary as JSON


@documented(ImportSettings)
def import_model(path: str | os.PathLike[str], **settings: Unpack[ImportSettings]) -> Model:
    """Make a model of a file that another program wrote. The end of its name says the format.

    ``.safetensors``: tensors under PyTorch's names, as `fastrnn.export` writes them into
    ``.pt.safetensors``, or the state_dict of a module as `fastrnn.from_torch` takes it, written by
    ``safetensors.torch.save_file``.

    ``.onnx``: an ONNX graph of symbols (embedded or one-hot) or numbers (scaled or not), then LSTM,
    GRU or RNN layers of one size that read forwards, then a linear head with or without a softmax;
    also where the graph keeps only the last step. Without a head the outputs of the last layer are
    the predictions. Outputs are symbols where a softmax ends the graph, or where it reads as many
    symbols as it has outputs. A file of `fastrnn.export` gives the same model again, bit for bit,
    with vocabulary, state and settings, but for weights of float64, which are float32 in it.

    Parameters
    ----------
    path : str or path-like
    **settings
        `ImportSettings`.

    Returns
    -------
    Model
        Without a history: what trained it did not say how.

    Raises
    ------
    ValueError, TypeError
        Another ending; a damaged file, or a pickled one; a network that fastrnn cannot express,
        with the name of its layer and the reason; a vocabulary of another size than the weights.
    ImportError
        ONNX where the package onnx is not installed.
    OSError
        There is no such file, or it cannot be read.
    """
    how = checked(ImportSettings, dict(settings), "import_model")
    chosen = of_path(READABLE, path, "reads")
    refuse_others(READABLE, chosen, dict(settings), "read_settings")
    assert chosen.read is not None
    if isinstance(how["vocabulary"], str | os.PathLike):
        how["vocabulary"] = _vocabulary(how["vocabulary"])
    return chosen.read(path, **{name: how[name] for name in chosen.read_settings})


def _vocabulary(path: str | os.PathLike[str]) -> Vocabulary | Sizes | list[Any]:
    """The vocabulary in a JSON file, or that of a model of fastrnn."""
    if Path(path).suffix.lower() != ".json":
        model = load(path)
        return model.vocabulary or model.sizes
    if os.path.getsize(path) > MOST_BYTES:
        raise ValueError(f"{str(Path(path))!r} has more than {MOST_BYTES >> 20} MiB: it is no "
                         "vocabulary")
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(Path(path))!r} is not JSON ({error}): write a list of the symbols, "
                         "in the order of their ids") from None
    if isinstance(found, dict):
        return restored(found)
    if not isinstance(found, list):
        raise ValueError(f"{str(Path(path))!r} must hold a list of the symbols, in the order of "
                         "their ids")
    return found

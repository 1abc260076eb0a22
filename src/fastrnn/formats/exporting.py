"""`fastrnn.export`: a model as a file that another program reads."""

import os
from typing import Unpack

from ..model.model import Model
from ..pages.weights import Rounding
from ..settings import ExportSettings, checked, documented
from .format import of_path, refuse_others
from .table import FORMATS


@documented(ExportSettings)
def export(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False,
           **settings: Unpack[ExportSettings]) -> Rounding | None:
    """Write a model as a file that another program reads. The end of its name says the format.

    ``.html``, ``.htm``: a page, in which the model writes text in any browser, without a network
    or a library. It has the weights in base64 and computes with them in plain JavaScript, with
    dtype="float32" the same probabilities to 1e-5 (those of the float32 weights, for a model in
    mixed_bfloat16). It reads a text to begin with, samples with temperature, top_k and label as
    `Model.sample` does, and shows the hidden units meanwhile. Its random numbers are others than
    Python's; the same seed gives the same text again.

    ``.h``: one C99 file without dependencies but the math library: the weights, a state, and a
    function that reads one input and puts out the scores of the next symbol, or the predicted
    numbers. float32, within about 1e-4 of the model. Names in it begin with that of the file.

    ``.onnx``: an ONNX graph (opset 17, IR 8) for onnxruntime and others, with settings and
    vocabulary as JSON in its metadata. It reads ids (batch, time) or inputs (batch, time, D), of a
    model with labels their weights (batch, C), and the states (layers, batch, units) before the
    first step, ``h_0`` and so on; it returns the scores, with softmax=True the probabilities, or
    the predictions in the units of the data, and the states after the last step, ``h_n`` and so on.
    Weights are float32 whatever the model's dtype. `fastrnn.import_model` reads it.

    ``.pt.safetensors``: the state_dict of `Model.to_torch`, with the settings and the vocabulary in
    the metadata; torch.nn reads it, and so does `import_model`, bit for bit. All cells.

    ``.json``: the JSON of RTNeural, a C++ library of audio plug-ins, for models of LSTM or GRU
    layers (with reset_after) that predict numbers from numbers. The scaling of the numbers is in
    the weights of the first and the last layer: inputs and outputs are in the units of the data.

    Parameters
    ----------
    model : Model
        What it learned is in the file for everyone who gets it.
    path : str or path-like
        An earlier file that fastrnn wrote there is replaced.
    overwrite : bool
        Whether it may replace a file that fastrnn did not write.
    **settings
        `ExportSettings`.

    Returns
    -------
    Rounding or None
        What int8 weights change, measured: ``probability``, the largest change of a probability,
        and the mean loss in nats per symbol ``before`` and ``after``, over the ``predictions`` of
        symbols that the model itself sampled. None for float32.

    Raises
    ------
    ValueError, TypeError
        A model that the format cannot express (a page: one of sequences, or of unit "bpe"; int8
        weights: one of sequences; ONNX: one of more than 2 GiB; RTNeural: one of symbols, or of
        other cells), or with parameters that are not finite; another ending; an unknown setting, or
        one that the format does not take.
    ImportError
        ONNX where the package onnx is not installed.
    OSError
        The file cannot be written, or fastrnn did not write the one that is there; it stays
        unchanged.

    Examples
    --------
    >>> fastrnn.export(fastrnn.load("book.safetensors"), "play.html")
    """
    how = checked(ExportSettings, dict(settings), "export")
    chosen = of_path(FORMATS, path, "writes")
    refuse_others(FORMATS, chosen, dict(settings))
    return chosen.write(model, path, overwrite, **{name: how[name] for name in chosen.settings})

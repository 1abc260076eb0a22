"""A model as the JSON of RTNeural (Chowdhury 2021, arXiv:2106.03037), which audio plug-ins load.

``in_shape`` [null, null, D]; ``in_skip`` 0, since outputs are not added to inputs; ``layers``, each
with its ``type``, ``shape`` [null, null, H] and ``weights`` in the order of Keras's get_weights. An
LSTM: W (D, 4 H), U (H, 4 H), b (4 H), gates i f c o. A GRU: W (D, 3 H), U (H, 3 H), b (2, 3 H),
that of the inputs and that of the state, gates z r h. A dense layer: W (H, K), b (K). Means and
deviations of a model that scales its numbers are in the first layer and in the last.
"""

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.scaling import Scaling
from ..files.store import begins_with, replacing
from ..kernels.build import build_info
from ..model.model import Model

MARK = b'{"metadata": {"source": "fastrnn'
ORDER = {"lstm": (0, 1, 3, 2), "gru": (1, 0, 2)}  # our i f o g as i f g o, our r z n as z r n
Array = NDArray[np.float64]


def write(model: Model, path: str | os.PathLike[str], overwrite: bool = False, *,
          sample_rate: int | None = None) -> None:
    """Write a model as JSON for RTNeural. `fastrnn.export` says the rest."""
    content = json.dumps(_content(model, sample_rate))
    with replacing(path, overwrite or begins_with(path, MARK, within=len(MARK))) as file:
        file.write(content.encode())


def _content(model: Model, sample_rate: int | None) -> dict[str, Any]:
    """What the file says, the name of the writer first; ValueError if it cannot say the model."""
    cell, H = _cell(model), model.config["hidden_size"]
    *recurrent, head = _folded(model)
    layers = [_layer(cell, H, _keras(cell, p)) for p in recurrent]
    layers.append(_layer("dense", model.sizes.output_size, [head["W"], head["b"]]))
    rate = {} if sample_rate is None else {"samplerate": sample_rate}
    return {"metadata": {"source": f"fastrnn {build_info()['version']}", **rate},
            "in_shape": [None, None, model.sizes.input_size], "in_skip": 0, "layers": layers}


def _cell(model: Model) -> str:
    """The type of the recurrent layers; ValueError, naming the reason, where there is none."""
    cell: str = model.config["cell"]
    if model.sizes.input_symbols or model.sizes.output_symbols:
        way = "reads" if model.sizes.input_symbols else "predicts"
        raise ValueError(f"RTNeural's layers compute numbers from numbers, and this model {way} "
                         "symbols: take .h or .onnx")
    if cell not in ORDER:
        raise ValueError(f'RTNeural has no layer for cell="{cell}": train with cell="lstm" or '
                         'cell="gru"; or take .h or .onnx')
    if cell == "gru" and not model.config["reset_after"]:
        raise ValueError("RTNeural's GRU resets after the product, and this model has "
                         "reset_after=False: train with reset_after=True; or take .h or .onnx")
    return cell


def _folded(model: Model) -> list[dict[str, Array]]:
    """The parameters of each layer and of the head in float64, for numbers that are not scaled."""
    if not np.isfinite(model.block).all():
        raise ValueError("the model's parameters are not finite: load an earlier checkpoint, or "
                         "train anew with a lower learning_rate")
    names = [f"layer{i}" for i in range(model.config["num_layers"])] + ["head"]
    found = [{key.partition(".")[2]: p.astype(np.float64) for key, p in model.params.items()
              if key.startswith(f"{name}.")} for name in names]
    scaling = model.scaling or Scaling()
    if scaling.inputs is not None:  # (x - mean) / deviation Wx + b
        mean, deviation = scaling.inputs
        found[0]["Wx"] /= deviation[:, None]
        found[0]["b"] -= mean @ found[0]["Wx"]
    if scaling.targets is not None:  # (h W + b) deviation + mean
        mean, deviation = scaling.targets
        found[-1]["W"] *= deviation
        found[-1]["b"] = found[-1]["b"] * deviation + mean
    largest = max(np.abs(p).max() for layer in found for p in layer.values())
    if largest > np.finfo(np.float32).max:
        raise ValueError(f"a parameter for numbers that are not scaled is {largest:.3g}, which is "
                         "no float32: train anew on data in another unit")
    return found


def _keras(cell: str, p: dict[str, Array]) -> list[Array]:
    """The arrays of a recurrent layer in the order of Keras's get_weights."""
    arrays = [p["Wx"], p["Wh"], p["b"]]
    if cell == "gru":
        H = len(p["bhn"])
        arrays[2] = np.stack([p["b"], np.concatenate([np.zeros(2 * H), p["bhn"]])])
    gates = len(ORDER[cell])
    return [np.concatenate([np.split(a, gates, axis=-1)[g] for g in ORDER[cell]], axis=-1)
            for a in arrays]


def _layer(kind: str, size: int, weights: list[Array]) -> dict[str, Any]:
    return {"type": kind, "activation": "", "shape": [None, None, size],
            "weights": [w.tolist() for w in weights]}

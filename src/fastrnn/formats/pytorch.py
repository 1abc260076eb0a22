"""Models and PyTorch: as a module, and as a file of tensors under PyTorch's names.

Tensors: ``embedding.weight`` (V, E); ``rnn.weight_ih_l0`` and so on, as `fastrnn.pytorch` says, the
first with a column for each label after those of the inputs; ``head.weight`` (K, H),
``head.bias``; ``input_scaling`` (2, D) and ``target_scaling`` (2, K) of numbers that are scaled.
JSON: settings, vocabulary or sizes, the state, and what a text begins with.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import kernels
from ..cells import kernel_cell
from ..data.source import Sizes
from ..files import store
from ..model.model import Model
from ..model.network import configuration, parameter_shapes
from ..model.storing import HISTORY
from ..pytorch import GATES, Arrays, array_of, library, to_ours, to_theirs
from ..settings import CellSettings, ShapeSettings, declared
from .foreign import model_of

# the tensors of cells that PyTorch has not, and their transposes
OWN = {"Wx": "weight_ih", "Wh": "weight_hh", "b": "bias_ih", "Wm": "weight_m", "bm": "bias_m"}
# the cells of `torch_module.Cells`, and the settings that decide what the network computes, all of
# which a module expresses; a new one is refused until it does
CELLS = ("gru", "mgu", "memory", "esn")
SHAPE = frozenset(("cell", "hidden_size", "num_layers", "embedding_size", "reset_after", "labels"))
LISTS = ("state", "starts", "label_counts")  # arrays that are stored as JSON
ENDING = ".pt.safetensors"


def to_torch(model: Model) -> Any:
    """The module of PyTorch that `Model.to_torch` returns."""
    torch = library()
    from .torch_module import Network  # needs torch

    state, about = _state(model), _about(model)
    dtype = getattr(torch, model.block.dtype.name)
    gates = kernel_cell(model.config["cell"], model.config["reset_after"]).gates
    module = Network(about, model.sizes, gates, dtype)
    module.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return module.eval()


def from_torch(module: Any, vocabulary: Any = None, *, nonlinearity: str = "tanh") -> Model:
    """Make a model of a module of PyTorch: an embedding or none, recurrent layers, a linear layer.

    Parameters
    ----------
    module : torch.nn.Module or mapping of str -> tensor
        What `Model.to_torch` returned, also after more training there; or a module with one
        RNN, LSTM or GRU (or their cells) in one direction, one Linear after it, and at most one
        Embedding before it; or the state_dict of such a one. Its `forward` is not looked at: it has
        to go from one to the next in this order. Of float32 or float64, which the model has too.
    vocabulary : Vocabulary, Sizes, or sequence of symbols, optional
        The symbols in the order of their ids, such as the characters of a str; or for sequences the
        sizes, such as ``Sizes(input_size=3, output_size=1)`` for numbers. By default inputs and
        outputs are symbols that are only known by number. A module of `to_torch` knows its own.
    nonlinearity : {"tanh", "relu"}
        For the state_dict of an RNN, which does not tell.

    Returns
    -------
    Model
        With the same outputs. A gate of PyTorch has two biases, which are added. Dropout is that
        of the recurrent layers, or of a Dropout before the Linear.

    Raises
    ------
    ValueError, TypeError
        What a model cannot express, with the name of the layer and the reason: both directions,
        proj_size, another layer; a vocabulary of another size; tensors that are missing or do not
        fit.

    Examples
    --------
    >>> model = fastrnn.from_torch(module, vocabulary=corpus.vocabulary)
    """
    about = getattr(module, "fastrnn", None)
    if not isinstance(about, dict):
        return model_of(module, vocabulary, nonlinearity)
    if vocabulary is not None:
        raise ValueError("the module was made by to_torch, and knows its vocabulary: leave "
                         "vocabulary out")
    state = {name: array_of(name, tensor) for name, tensor in module.state_dict().items()}
    dtype = state["head.weight"].dtype
    if dtype != kernels.array_dtype(about["model"]["dtype"]):  # after .double() or .float()
        about = about | {"model": about["model"] | {"dtype": dtype.name}}
    return _model(state, about)


def write(model: Model, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a model as a safetensors file of a state_dict of PyTorch; raises as `store.write`."""
    if not os.fspath(path).lower().endswith(ENDING):
        raise ValueError(f"name it {str(Path(path).with_suffix(''))}{ENDING}: .safetensors alone "
                         "is a checkpoint of fastrnn, and what PyTorch pickles is not written")
    store.write(path, _state(model), {"torch": _about(model)}, overwrite=overwrite)


def read(path: str | os.PathLike[str], vocabulary: Any = None,
         nonlinearity: str = "tanh") -> Model:
    """Make a model of a safetensors file of a state_dict; raises as `store.read_any`."""
    shown = str(Path(path))
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(2)
        if start in (b"PK", b"\x80\x02"):
            raise ValueError(f"{shown!r} is pickled, and reading it could run code: in PyTorch "
                             "give safetensors.torch.save_file(module.state_dict(), "
                             f"{Path(path).stem + ENDING!r}), and import that")
    tensors, about = store.read_any(path)
    try:
        if about is None:
            return model_of(tensors, vocabulary, nonlinearity)
        if "torch" not in about:
            raise ValueError("it is a checkpoint of fastrnn: use fastrnn.load")
        if vocabulary is not None:
            raise ValueError("the file has a vocabulary: leave vocabulary out")
        return _model(tensors, about["torch"])
    except store.DAMAGE as error:
        raise ValueError(f"{shown!r}: {error}") from None


def _about(model: Model) -> dict[str, Any]:
    """What a model is made of besides its weights."""
    _, about = model.stored()
    scaling = model.scaling.tensors if model.scaling else {}
    return {name: about[name] for name in ("model", "vocabulary", "sizes", "continues")} | {
        "model": dict(model.config),
        "scaled": {name[:-1]: array.shape[1] for name, array in scaling.items()},
        "state": model.state[0].tolist(), "starts": model.starts.tolist(),
        "label_counts": model.label_counts.tolist()}


def _plain(config: Mapping[str, Any]) -> bool:
    """Whether PyTorch has the cell."""
    return config["cell"] in GATES and (config["cell"] != "gru" or config["reset_after"])


def _check_expressed(config: Mapping[str, Any]) -> None:
    """Raise ValueError for a cell or a setting that the module does not have."""
    if config["cell"] not in (*GATES, *CELLS):
        raise ValueError(f"there is no module of PyTorch for the cell {config['cell']!r}: it has "
                         f"{', '.join((*GATES, *CELLS[1:]))}")
    for name, one in (declared(CellSettings) | declared(ShapeSettings)).items():
        if name not in SHAPE and config.get(name, one.setting.default) != one.setting.default:
            raise ValueError(f"{name}={config[name]!r} has no counterpart in the module of PyTorch")


def _state(model: Model) -> Arrays:
    """The tensors of a model under PyTorch's names."""
    config, params = model.config, model.params
    _check_expressed(config)
    state: Arrays = {}
    if "embedding.W" in params:
        state["embedding.weight"] = params["embedding.W"]
    for k in range(config["num_layers"]):
        start = f"layer{k}."
        ours = {name.removeprefix(start): p for name, p in params.items() if name.startswith(start)}
        if "Wc" in ours:
            ours["Wx"] = np.concatenate([ours["Wx"], ours.pop("Wc")])
        if model.reservoir:
            reservoir = model.reservoir
            ours = {"Wx": reservoir.Win.T, "b": reservoir.b,
                    "Wh": reservoir.W.toarray().T.astype(model.block.dtype)}
        theirs = (to_theirs(config["cell"], ours) if _plain(config) else
                  {OWN[name]: np.ascontiguousarray(p.T) for name, p in ours.items()})
        state |= {f"rnn.{name}_l{k}": array for name, array in theirs.items()}
    state |= {"head.weight": np.ascontiguousarray(params["head.W"].T),
              "head.bias": params["head.b"]}
    scaling = model.scaling.tensors if model.scaling else {}
    return state | {f"{name[:-1]}_scaling": array for name, array in scaling.items()}


def _parameters(state: Arrays, config: Mapping[str, Any], sizes: Sizes) -> Arrays:
    """The parameters of a model by fastrnn's names; the inverse of `_state`. ValueError, KeyError
    where tensors are missing; shapes are not compared."""
    params: Arrays = {}
    inputs = config["embedding_size"] or sizes.inputs
    for name in parameter_shapes(sizes, dict(config)):
        if name == "embedding.W":
            params[name] = state["embedding.weight"]
        elif name.startswith("head."):
            params[name] = state["head.weight" if name == "head.W" else "head.bias"].T
    trained = () if config["cell"] == "esn" else range(config["num_layers"])
    for k in trained:
        theirs = {name.removeprefix("rnn.").removesuffix(f"_l{k}"): array
                  for name, array in state.items() if name.endswith(f"_l{k}")}
        ours = (to_ours(config["cell"], theirs) if _plain(config) else
                {name: theirs[other].T for name, other in OWN.items() if other in theirs})
        if k == 0 and config["labels"]:
            ours["Wx"], ours["Wc"] = ours["Wx"][:inputs], ours["Wx"][inputs:]
        params |= {f"layer{k}.{name}": array for name, array in ours.items()}
    return params


def _model(state: Arrays, about: dict[str, Any]) -> Model:
    """The model of these tensors and this JSON; raises one of `store.DAMAGE` for what `_state` and
    `_about` cannot have returned."""
    symbols = about["vocabulary"] and len(about["vocabulary"]["symbols"])
    sizes = Sizes(symbols, 0, symbols, 0) if symbols else Sizes(**about["sizes"])
    config = configuration(sizes, dict(about["model"]))
    tensors: store.Tensors = {name: np.ascontiguousarray(array) for name, array in
                              _parameters(state, config, sizes).items()}
    dtype = kernels.array_dtype(config["dtype"])
    for name in LISTS:
        tensors[name] = np.array(about[name], dtype if name == "state" else np.float64)
    tensors["state"] = tensors["state"][None]
    tensors |= {f"history.{name}": np.empty(0, kind) for name, kind in HISTORY.items()}
    tensors["known"] = np.empty(0, np.uint64)
    tensors |= {f"scaling.{name}s": state[f"{name}_scaling"] for name in about["scaled"]}
    if config["cell"] == "esn":
        tensors |= _reservoir(state, dtype)
    stored = {name: about[name] for name in ("vocabulary", "sizes", "continues")}
    model = Model.from_stored(tensors, stored | {
        "model": dict(about["model"]), "history": {"seq_length": None}})
    if state.keys() != _state(model).keys():
        raise ValueError("there are other tensors than those of the model")
    return model


def _reservoir(state: Arrays, dtype: Any) -> store.Tensors:
    """The tensors of an esn's reservoir."""
    dense: NDArray[Any] = state["rnn.weight_hh_l0"].astype(np.float32)
    if dense.ndim != 2:
        raise ValueError("rnn.weight_hh_l0 is no matrix")
    W = csr_array(dense)
    return {"reservoir.Win": state["rnn.weight_ih_l0"], "reservoir.b": state["rnn.bias_ih_l0"],
            "reservoir.Wfb": np.empty((len(dense), 0), dtype), "reservoir.W.data": W.data,
            "reservoir.W.indices": W.indices, "reservoir.W.indptr": W.indptr}


Model.torch_maker = to_torch

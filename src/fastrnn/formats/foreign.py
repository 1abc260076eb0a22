"""Models of modules of PyTorch that fastrnn did not make."""

from collections.abc import Mapping
from typing import Any

from ..data.source import Sizes
from ..data.vocabulary import Vocabulary
from ..model.model import Model
from ..pytorch import NAME, Arrays, Layers, array_of, read_layers
from ..validate import choice

# modules without parts that a model has, or that do not change scores, or only in training
KNOWN = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "Embedding", "Linear", "Dropout",
         "LogSoftmax", "Softmax", "Identity", "CrossEntropyLoss", "NLLLoss", "MSELoss")


def model_of(module: Any, vocabulary: Any = None, nonlinearity: str = "tanh") -> Model:
    """The model of an embedding or none, recurrent layers and a linear layer, as
    `fastrnn.from_torch` says."""
    choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    is_module = callable(getattr(module, "state_dict", None))
    dropout = _check_modules(module) if is_module else 0.0
    layers = read_layers(module)
    state = module.state_dict() if is_module else module
    embedding, head = _around({name: array_of(name, tensor) for name, tensor in state.items()
                               if not NAME.fullmatch(name)}, layers)
    if layers.settings["bidirectional"]:
        raise ValueError("the recurrent layers are bidirectional, and a Model reads from left to "
                         f"right: use fastrnn.nn.{layers.module}.from_torch")
    cell = "relu" if layers.cell == "rnn" and nonlinearity == "relu" else layers.cell
    E = None if embedding is None else embedding.shape[1]
    K, inputs = len(head["weight"]), layers.D if embedding is None else len(embedding)
    model = Model(read_as(vocabulary, inputs, K, E is None), cell=cell, hidden_size=layers.H,
                  num_layers=layers.settings["num_layers"], embedding_size=E,
                  dropout=layers.settings["dropout"] or dropout, dtype=layers.settings["dtype"])
    values = {"head.W": head["weight"].T, "head.b": head.get("bias", 0)}
    if embedding is not None:
        values["embedding.W"] = embedding
    for k, tensors in enumerate(layers.ours()):
        values |= {f"layer{k}.{name}": array for name, array in tensors.items()}
    for name, p in model.params.items():
        p[...] = values.get(name, 0)  # without bias: 0
    return model


def _check_modules(module: Any) -> float:
    """Raise ValueError for a module in it that a model has not; return the p of a Dropout."""
    dropout = 0.0
    for name, one in module.named_modules():
        kinds = [base.__name__ for base in type(one).__mro__ if base.__name__ in KNOWN]
        if not kinds and not any(True for _ in one.children()):
            raise ValueError(f"layer {name!r} is a {type(one).__name__}: a Model is an Embedding "
                             "or none, an RNN, LSTM or GRU, and a Linear")
        if "Dropout" in kinds:
            dropout = float(one.p)
        if "Embedding" in kinds and one.max_norm is not None:
            raise ValueError(f"layer {name!r} has a max_norm, and an Embedding of fastrnn none")
    return dropout


def _around(rest: Arrays, layers: Layers) -> tuple[Any, Arrays]:
    """The weight of the embedding, or None, and the tensors of the linear layer: what there is
    besides the recurrent layers."""
    parts: dict[str, Arrays] = {}
    for name, array in rest.items():
        owner, _, tensor = name.rpartition(".")
        parts.setdefault(owner, {})[tensor] = array
    for owner, tensors in parts.items():
        shapes = {name: array.shape for name, array in tensors.items()}
        rows = shapes.get("weight", ())
        if not {"weight"} <= shapes.keys() <= {"weight", "bias"} or len(rows) != 2 or shapes.get(
                "bias", rows[:1]) != rows[:1]:
            raise ValueError(f"layer {owner!r} has {shapes}: it is no Embedding and no Linear")
        if tensors["weight"].dtype != layers.settings["dtype"]:
            raise TypeError(f"layer {owner!r} is of {tensors['weight'].dtype}, and others of "
                            f"{layers.settings['dtype']}: convert all to one")
    heads = [owner for owner, tensors in parts.items() if "bias" in tensors]
    plain = [owner for owner in parts if owner not in heads]
    if not heads:  # both without a bias: told apart by their names, or by their sizes
        heads = [owner for owner in plain if "emb" not in owner.lower()
                 and parts[owner]["weight"].shape[1] == layers.H]
        plain = [owner for owner in plain if owner not in heads]
    if len(heads) != 1 or len(plain) > 1:
        raise ValueError(f"besides the recurrent layers there are {', '.join(parts) or 'none'}: a "
                         "Model has one Linear after them, and at most one Embedding before them "
                         "(of two without a bias that is the one with 'emb' in its name)")
    head, embedding = parts[heads[0]], parts[plain[0]]["weight"] if plain else None
    for name, array, width in ((heads[0], head["weight"], layers.H),
                               *((one, parts[one]["weight"], layers.D) for one in plain)):
        if array.shape[1] != width or not array.size:
            raise ValueError(f"{name}.weight is {array.shape}, and the recurrent layers have "
                             f"{layers.D} inputs and {layers.H} outputs: it fits neither end")
    return embedding, head


def read_as(vocabulary: Any, inputs: int, outputs: int, numbers: bool) -> Vocabulary | Sizes:
    """What the model reads and predicts: the vocabulary or Sizes given, or numbers of symbols."""
    if vocabulary is None:
        return Sizes(input_symbols=inputs, output_symbols=outputs)
    if isinstance(vocabulary, Sizes):
        if (vocabulary.inputs, vocabulary.outputs) != (inputs, outputs) or (
                vocabulary.input_size and not numbers):
            raise ValueError(f"the weights are for {inputs} {'inputs' if numbers else 'symbols'} "
                             f"and {outputs} outputs, not for {vocabulary}")
        return vocabulary
    if not isinstance(vocabulary, Vocabulary):
        if isinstance(vocabulary, Mapping) or not hasattr(vocabulary, "__len__"):
            raise TypeError("vocabulary must be a Vocabulary, Sizes or a sequence of symbols, not "
                            f"{type(vocabulary).__name__}")
        words = any(isinstance(symbol, str) and len(symbol) != 1 for symbol in vocabulary)
        vocabulary = Vocabulary(vocabulary, "word" if words else "char")
    known: Vocabulary = vocabulary
    if len(vocabulary) != inputs or len(vocabulary) != outputs:
        raise ValueError(f"the vocabulary has {len(vocabulary)} symbols, and the weights are for "
                         f"{inputs} inputs and {outputs} outputs: give the one it was trained with")
    return known

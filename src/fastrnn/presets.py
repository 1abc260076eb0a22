"""Fixed settings by name: those of courses and of programs that people know.

`fastrnn.train(source, preset=NAME)` and ``fastrnn train --preset NAME`` start from them; any
keyword or flag beside the preset wins. ``fastrnn presets`` lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Settings by name.

    Attributes
    ----------
    name : str
    kind : str
        What it is for: "text", "records", "sequences", or "any" of these.
    source : str
        Where the settings come from.
    settings : dict of str -> object
        Keywords of `fastrnn.train`.
    reading : dict of str -> object
        How a text is read: keywords of `fastrnn.Corpus.from_file`, and for records of
        `Corpus.from_records`.
    """

    name: str
    kind: str
    source: str
    settings: Mapping[str, Any]
    reading: Mapping[str, Any] = field(default_factory=dict)

    def beside(self, given: Mapping[str, Any], kind: str = "text") -> dict[str, Any]:
        """The preset's settings and the given ones, which win. A given optimizer takes its own
        default learning rate, and a given length of the run replaces the preset's, as given
        validation data do a part of the training data."""
        settings = dict(self.settings)
        if kind != "text":  # other kinds are read whole unless seq_length is given
            settings.pop("seq_length", None)
        if given.get("optimizer", settings.get("optimizer")) != settings.get("optimizer"):
            for name in ("learning_rate", *OWNERS):
                settings.pop(name, None)
        if any(given.get(name) for name in PLAN):
            settings = {name: value for name, value in settings.items() if name not in PLAN}
        if given.get("valid") is not None:
            settings.pop("valid_fraction", None)
        return settings | dict(given)

    def check(self, kind: str) -> None:
        """Raise ValueError unless this preset is for this kind of source."""
        if self.kind not in ("any", kind):
            fits = ", ".join(repr(p.name) for p in PRESETS.values() if p.kind in ("any", kind))
            raise ValueError(f"preset {self.name!r} is for {self.kind}, and this is {kind}: choose "
                             f"one of {fits}")


PLAN = ("epochs", "updates", "minutes")  # settings of which one says how long a run is
OWNERS = {  # settings -> the optimizers that have them
    "momentum": ("sgd",), "decay_rate": ("rmsprop",), "beta1": ("adam",), "beta2": ("adam",),
    "epsilon": ("adagrad", "rmsprop", "adam"), "epsilon_inside": ("adagrad", "rmsprop")}
CLASSIC = {"cell": "rnn", "hidden_size": 100, "seq_length": 25, "batch_size": 1,
           "optimizer": "adagrad", "learning_rate": 0.1, "clip_value": 5.0, "epochs": 1}

PRESETS = {preset.name: preset for preset in (
    Preset("classic", "any", "the classic character model: karpathy's min-char-rnn and KTH DD2424",
           CLASSIC),
    Preset("goblet", "text", "KTH DD2424, assignment 4 (The Goblet of Fire): m = 100, seq_length "
           "25, eta 0.1, sig 0.01", CLASSIC),
    Preset("min-char-rnn", "text", "karpathy's min-char-rnn.py (gist, 2015)", CLASSIC),
    Preset("char-rnn", "text", "karpathy/char-rnn, the defaults of train.lua", {
        "cell": "lstm", "hidden_size": 128, "num_layers": 2, "init": "uniform", "init_scale": 0.08,
        "seq_length": 50, "batch_size": 50, "optimizer": "rmsprop", "learning_rate": 2e-3,
        "decay_rate": 0.95, "learning_rate_decay": 0.97, "learning_rate_decay_after": 10,
        "clip_value": 5.0, "valid_fraction": 0.05, "epochs": 50, "seed": 123}),
    Preset("torch-rnn", "text", "jcjohnson/torch-rnn, the defaults of train.lua and preprocess.py",
           {"cell": "lstm", "hidden_size": 128, "num_layers": 2, "embedding_size": 64,
            "seq_length": 50, "batch_size": 50, "optimizer": "adam", "learning_rate": 2e-3,
            "learning_rate_decay": 0.5, "learning_rate_decay_after": 5,
            "learning_rate_decay_every": 5, "clip_value": 5.0, "valid_fraction": 0.1,
            "epochs": 50}),
    Preset("alice", "text", 'the notebook "Language Modeling with RNNs" (Alice, chapter I, by '
           "words)", {
               "cell": "lstm", "hidden_size": 100, "embedding_size": 15, "init": "xavier",
               "seq_length": 50, "batch_size": 30, "order": "shuffled", "optimizer": "adam",
               "learning_rate": 5e-4, "clip_value": 5.0, "epochs": 50, "accuracy": True},
           {"unit": "word"}),
    Preset("names", "records", "a homework on names by country: additive memory, binary "
           "cross-entropy, dropout", {
               "cell": "memory", "hidden_size": 128, "loss": "binary_cross_entropy",
               "dropout": 0.2, "init": "uniform", "batch_size": 32, "optimizer": "adam",
               "learning_rate": 2e-3, "clip_value": None, "clip_norm": 5.0, "epochs": 60,
               "valid_fraction": 0.1, "patience": 8}),
    Preset("tweets", "records", "a homework on messages of at most 140 characters", {
        "cell": "lstm", "hidden_size": 256, "batch_size": 64, "optimizer": "adam",
        "learning_rate": 5e-3, "schedule": "cosine", "clip_value": None, "clip_norm": 5.0,
        "epochs": 2}, {"max_length": 140, "too_long": "drop"}),
    Preset("memorization", "sequences", "RWTH Aachen, exercise on memorization: ReLU RNN, identity "
           "initialization (Le, Jaitly and Hinton 2015)", {
               "cell": "relu", "hidden_size": 100, "init": "identity", "init_scale": 0.1,
               "batch_size": 100, "optimizer": "adam", "learning_rate": 1e-3,
               "schedule": "cosine", "clip_value": None, "clip_norm": 5.0, "minutes": 1.5}),
    Preset("sine", "sequences", "RWTH Aachen, exercise on sine curves: an LSTM continues them", {
        "cell": "lstm", "hidden_size": 64, "init": "xavier", "batch_size": 100,
        "optimizer": "adam", "learning_rate": 5e-3, "schedule": "cosine", "clip_value": None,
        "clip_norm": 5.0, "minutes": 1.0}),
)}

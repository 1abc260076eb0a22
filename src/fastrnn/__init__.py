"""Small recurrent networks, trained fast on the CPU of a laptop.

>>> import fastrnn
>>> model = fastrnn.train("book.txt")                  # a minute, with settings chosen for the text
>>> print(model.sample(500, temperature=0.8))          # text like that of the book
>>> model.score("A text that it has never read.")      # cross-entropy, nats per character
>>> model.save("book.safetensors")                     # fastrnn.load reads it

`train` is the whole training in one call (``help(fastrnn.train)``); its preset="classic" is the
character model of karpathy's min-char-rnn. `Corpus` reads texts, names and messages, `Sequences`
holds sequences of symbols or numbers, `datasets` has texts by name, `tasks` makes exercises.
`Model` and `Trainer` are the loop in your own hands, `nn` and `optim` its layers and optimizers for
a loop that you write. `plot` draws figures, `export` writes files that other programs read, `look`
one that shows what its units do while it reads. `average` makes one model of several,
`sweep` compares settings. `gradcheck`
compares gradients with finite differences, `gradient_norms` shows how they vanish or explode.
`EchoStateNetwork` predicts time series, `SequenceRegressor` and `SequenceClassifier` are
scikit-learn's way to `train`. `exercises` writes and checks exercises for a course.
"""

from importlib.metadata import version as _version

from . import distributed, exercises, nn, optim, plot
from .checks.gradcheck import gradcheck
from .checks.gradient_norms import gradient_norms
from .data import datasets, tasks
from .data.corpus import Corpus
from .data.sequences import Sequences
from .data.source import Sizes
from .data.vocabulary import Vocabulary
from .echo.network import EchoStateNetwork
from .formats import hub as _hub  # noqa: F401  Model.save_pretrained
from .formats.exporting import export
from .formats.importing import import_model
from .formats.pytorch import from_torch
from .kernels.build import build_info
from .model.counting import hidden_size_for, parameter_count
from .model.ensemble import average
from .model.history import History
from .model.model import Model
from .pages import report as _report  # noqa: F401  Model.report
from .pages.look import look
from .supervised import SequenceClassifier, SequenceRegressor
from .sweep import Sweep, sweep
from .train import train
from .training.checkpoint import load
from .training.divergence import DivergenceError
from .training.events import Event
from .training.log import read_log
from .training.trainer import Trainer

__version__ = _version("fastrnn")
__all__ = [
    "Corpus", "DivergenceError", "EchoStateNetwork", "Event", "History", "Model",
    "SequenceClassifier", "SequenceRegressor", "Sequences", "Sizes",
    "Sweep", "Trainer", "Vocabulary", "average", "build_info", "datasets", "distributed",
    "exercises", "export", "from_torch", "gradcheck", "gradient_norms", "hidden_size_for",
    "import_model", "load", "look", "nn", "optim", "parameter_count", "plot", "read_log", "sweep",
    "tasks", "train",
]

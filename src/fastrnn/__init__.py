"""Small recurrent networks, trained on a laptop CPU faster than anything else."""

from importlib.metadata import version as _version

from . import datasets, nn, optim, tasks
from .build import build_info
from .checkpoint import load
from .corpus import Corpus
from .echo_state import EchoStateNetwork
from .gradcheck import gradcheck
from .gradient_norms import gradient_norms
from .history import History
from .model import Model, hidden_size_for, parameter_count
from .sequences import Sequences, Sizes
from .train import train
from .trainer import Trainer
from .vocabulary import Vocabulary

__version__ = _version("fastrnn")
__all__ = [
    "Corpus", "EchoStateNetwork", "History", "Model", "Sequences", "Sizes", "Trainer", "Vocabulary",
    "build_info", "datasets", "gradcheck", "gradient_norms", "hidden_size_for", "load", "nn",
    "optim", "parameter_count", "tasks", "train",
]

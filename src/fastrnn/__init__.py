"""Small recurrent networks, trained on a laptop CPU faster than anything else."""

from importlib.metadata import version as _version

from . import nn, optim
from .checks.gradcheck import gradcheck
from .checks.gradient_norms import gradient_norms
from .data import datasets, tasks
from .data.corpus import Corpus
from .data.sequences import Sequences
from .data.source import Sizes
from .data.vocabulary import Vocabulary
from .echo.network import EchoStateNetwork
from .kernels.build import build_info
from .model.counting import hidden_size_for, parameter_count
from .model.history import History
from .model.model import Model
from .train import train
from .training.checkpoint import load
from .training.trainer import Trainer

__version__ = _version("fastrnn")
__all__ = [
    "Corpus", "EchoStateNetwork", "History", "Model", "Sequences", "Sizes", "Trainer", "Vocabulary",
    "build_info", "datasets", "gradcheck", "gradient_norms", "hidden_size_for", "load", "nn",
    "optim", "parameter_count", "tasks", "train",
]

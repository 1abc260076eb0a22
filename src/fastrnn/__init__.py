"""Small recurrent networks, trained on a laptop CPU faster than anything else."""

from importlib.metadata import version as _version

from . import datasets, nn, optim
from .build import build_info
from .checkpoint import load
from .corpus import Corpus
from .gradcheck import gradcheck
from .history import History
from .model import Model
from .train import train
from .trainer import Trainer
from .vocabulary import Vocabulary

__version__ = _version("fastrnn")
__all__ = [
    "Corpus", "History", "Model", "Trainer", "Vocabulary", "build_info", "datasets", "gradcheck",
    "load", "nn", "optim", "train",
]

"""Layers for your own training loop: arrays in, arrays out, with separate forward and backward
passes, the recurrent ones on the compiled kernels.

Arrays are batch-first: N sequences, T time steps, then the features. Every layer has two dicts:
``params``, whose arrays may be written into or replaced by others of the same shape, and ``grads``
with the same keys, which `backward` fills. A layer stores what its last `forward` read, so
`backward` belongs to that call. Threads may share layers and losses: each has ``grads`` and a
`forward` to go back through of its own, and all read the same ``params``.

>>> rnn, head, loss = nn.LSTM(15, 100), nn.Linear(100, 778), nn.SoftmaxCrossEntropy()
>>> nats = loss.forward(head.forward(rnn.forward(x)), labels)
>>> dx, dh0, dc0 = rnn.backward(head.backward(loss.backward()))
"""

from ..files.state import load_state, save_state
from .layer import Layer
from .losses import MeanSquaredError, SoftmaxCrossEntropy
from .recurrent import GRU, LSTM, RNN
from .sequential import Sequential
from .simple import Dropout, Embedding, Linear

__all__ = [
    "RNN", "GRU", "LSTM", "Dropout", "Embedding", "Layer", "Linear", "MeanSquaredError",
    "Sequential", "SoftmaxCrossEntropy", "load_state", "save_state",
]

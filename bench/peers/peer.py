"""What the peers share: windows of the text, the smoothed loss, parameters in one block."""

import numpy as np


class CharacterPeer:
    """Learns from one window of a text after the other; a subclass says how.

    The text is cut into ``batch_size`` equal streams, each read from left to right in windows of
    ``seq_length``; the hidden state goes from one window to the next. Where ``position +
    seq_length + 1`` reaches the streams' length an epoch ends: reading starts again at 0 with a
    zero state.

    Parameters
    ----------
    ids : array_like of int, shape (length,)
        The text as symbol ids in [0, K).
    K : int
        Vocabulary size.
    seq_length : int
        Time steps T of one update.
    batch_size : int
        Streams N.

    Raises
    ------
    ValueError
        If a stream is shorter than seq_length + 2 or an id lies outside [0, K).
    """

    def __init__(self, ids: np.ndarray, K: int, seq_length: int, batch_size: int = 1) -> None:
        ids = np.asarray(ids, dtype=np.int64)
        length = len(ids) // batch_size
        if seq_length < 1 or length < seq_length + 2:
            raise ValueError(
                f"seq_length {seq_length} must be at least 1 and needs a text of at least "
                f"seq_length + 2 symbols in each of {batch_size} streams; they have {length}"
            )
        if ids.min() < 0 or ids.max() >= K:
            raise ValueError(f"all ids must lie in [0, {K})")
        # (length, N): time-major, so that a window is a slice without a copy
        self.streams = ids[: length * batch_size].reshape(batch_size, length).T.copy()
        self.K = K
        self.seq_length = seq_length
        self.position = 0
        self.epoch = 0
        self.smooth_loss: float | None = None
        self.reset_state()

    def update(self) -> float:
        """Learn from the next window; return its loss, in nats, summed over time and averaged
        over the streams."""
        begin, end = self.position, self.position + self.seq_length
        loss = self.learn(self.streams[begin:end], self.streams[begin + 1 : end + 1])
        previous = loss if self.smooth_loss is None else self.smooth_loss
        self.smooth_loss = 0.999 * previous + 0.001 * loss
        self.position = end
        if end + self.seq_length + 1 >= len(self.streams):
            self.position = 0
            self.epoch += 1
            self.reset_state()
        return loss

    def reset_state(self) -> None:
        """Set the hidden state to zero."""
        raise NotImplementedError

    def learn(self, inputs: np.ndarray, targets: np.ndarray) -> float:
        """One update from ids (T, N) and the hidden state, which moves on; return the loss."""
        raise NotImplementedError


def views(block: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Cut a flat block into one view for each name and shape."""
    views, begin = {}, 0
    for name, shape in shapes.items():
        end = begin + int(np.prod(shape))
        views[name] = block[begin:end].reshape(shape)
        begin = end
    return views

"""The recurrent cells: the equation of each, and how its weights start.

The compiled table (csrc/cells.h) has the tensors, gates and states of each cell. A new cell is an
entry of CELLS here and one there.
"""

from dataclasses import dataclass

from . import kernels


@dataclass(frozen=True)
class Cell:
    """A recurrent cell as users name it.

    Attributes
    ----------
    summary : str
        The cell in a few words.
    equation : str
        x_t is the input of the layer, s the logistic sigmoid and * the elementwise product.
    init : str
        Default distribution of its initial weights.
    """

    summary: str
    equation: str
    init: str = "normal"


CELLS = {
    "rnn": Cell("the tanh RNN", "h_t = tanh(x_t Wx + h_{t-1} Wh + b) (Elman 1990)"),
    "relu": Cell("the RNN with ReLU in place of tanh",
                 "h_t = max(0, x_t Wx + h_{t-1} Wh + b) (Le, Jaitly and Hinton 2015)"),
    "lstm": Cell("the LSTM", """\
columns of the weights in the order i, f, o, g: i, f, o = s(.), g = tanh(.) of
x_t Wx + h_{t-1} Wh + b; c_t = f * c_{t-1} + i * g, h_t = o * tanh(c_t)
(Hochreiter and Schmidhuber 1997, with forget gates)""", "xavier"),
    "gru": Cell("the GRU", """\
columns of the weights in the order r, z, n: r, z = s(x_t Wx + h_{t-1} Wh + b);
n = tanh(x_t Wx + b + r * (h_{t-1} Wh + bhn)), or without reset_after
n = tanh(x_t Wx + b + (r * h_{t-1}) Wh); h_t = (1 - z) * n + z * h_{t-1} (Cho et al. 2014)""",
                "xavier"),
    "mlstm": Cell("the multiplicative LSTM", """\
columns of Wx and b in the order i, f, o, g, a, q, of Wh i, f, o, g: the "lstm" with
m_t = a * h_{t-1} in place of h_{t-1} and h_t = o * tanh(c_t) + q; a, q = x_t Wx + b
(Krause et al. 2016, without the matrix between h_{t-1} and m_t, with a skip connection q)""",
                  "xavier"),
    "mgu": Cell("the minimal gated unit", """\
columns of the weights in the order f, n: f = s(x_t Wf + h_{t-1} Uf + bf),
n = tanh(x_t Wn + (f * h_{t-1}) Un + bn); h_t = (1 - f) * h_{t-1} + f * n (Zhou et al. 2016)""",
                "xavier"),
    "memory": Cell("a ReLU layer with an additive memory", """\
u_t = max(0, x_t Wx + m_{t-1} Wh + b), m_t = m_{t-1} + u_t Wm + bm; the output of the layer
is u_t"""),
    "esn": Cell("an echo state network, of which only the output weights are trained", """\
h_t = (1 - a) h_{t-1} + a tanh(Win x_t + W h_{t-1}) with the leak_rate a and random weights
that are not trained (Jaeger 2001)"""),
}


def kernel_cell(cell: str, reset_after: bool = True) -> kernels.CellInfo:
    """The row of the compiled table that computes a cell."""
    name = "gru_before" if cell == "gru" and not reset_after else cell
    return kernels.CELL_TABLE[kernels.CELLS.index(name)]


def tensor_shapes(cell: str, D: int, H: int,
                  reset_after: bool = True) -> dict[str, tuple[int, ...]]:
    """The trained tensors of one recurrent layer with D inputs and H units: name -> shape."""
    info = kernel_cell(cell, reset_after)
    sizes = {"D": D, "H": H, "G": info.gates * H}
    return {name: tuple(sizes.get(letter) or int(letter) * H for letter in (rows, columns)
                        if letter != "1")
            for name, rows, columns in info.tensors} if info.trained else {}

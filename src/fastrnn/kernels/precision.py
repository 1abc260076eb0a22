"""What a precision is: the dtype of its arrays, and how it rounds the operands of products."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIXED = "mixed_bfloat16"


def array_dtype(precision: Any) -> np.dtype[Any]:
    """The dtype of the arrays of one of PRECISIONS: those of mixed_bfloat16 are float32."""
    return np.dtype(np.float32 if precision == MIXED else precision)


def round_to_bfloat16(x: ArrayLike) -> NDArray[np.float32]:
    """float32 numbers rounded to bfloat16, which has the sign, the 8 bits of the exponent and the
    first 7 of the 23 bits after the point of a float32: to the nearest, of two equally near ones to
    the one whose last bit is 0. NaN, infinities, zeros and their signs stay; what is nearer to the
    next power of two above the largest bfloat16 becomes infinite."""
    x = np.asarray(x, np.float32)
    bits = x.reshape(-1).view(np.uint32)  # no scalar, which NumPy 1 would make int64
    near = bits + (0x7FFF + ((bits >> 16) & 1))  # a carry into the exponent is right there
    return np.where(np.isnan(x), x, (near & 0xFFFF0000).view(np.float32).reshape(x.shape))

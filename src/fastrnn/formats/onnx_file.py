"""An ONNX file as it is read: nothing in it is believed, and memory is bounded by its size."""

import os
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.store import short
from .onnx_layers import library

MOST_PARTS = 50_000  # nodes, tensors, attributes, names: memory beside that of the numbers
MOST_INTEGERS = 2**16  # of a tensor that has them one by one; lengths and places are few
DEEPEST = 30  # messages in each other
MOST_BYTES = 2**31 - 1  # of a file, by protobuf
OPSETS = range(7, 27)  # in which the operators that are read mean what they mean here
# numbers of a tensor by the code of their type: the dtype, and the field that may have them
TYPES = {1: ("<f4", "float_data"), 11: ("<f8", "double_data"), 7: ("<i8", "int64_data"),
         6: ("<i4", "int32_data"), 9: ("?", "int32_data")}


def opened(path: str | os.PathLike[str]) -> Any:
    """The ModelProto in a file.

    Raises OSError for a file that cannot be read, and ValueError for one that is not ONNX, is too
    large or too deep, or needs operators that are newer or older than those that are read."""
    onnx, shown = library(), str(Path(path))
    if not Path(path).exists():
        raise FileNotFoundError(f"no file {shown!r}: give the path of an ONNX file")
    if not Path(path).is_file():  # to open a pipe would wait for its writer
        raise OSError(f"{shown!r} is not a regular file: give the path of an ONNX file")
    if os.path.getsize(path) > MOST_BYTES:
        raise ValueError("the file is larger than 2 GiB, which no ONNX file is")
    data = Path(path).read_bytes()
    decode_error = import_module("google.protobuf.message").DecodeError
    try:
        _count_parts(memoryview(data), onnx.ModelProto.DESCRIPTOR)
        model = onnx.ModelProto.FromString(data)
    except (decode_error, IndexError) as error:
        raise ValueError(f"it is not an ONNX file, or is cut short ({short(error)}): use another "
                         "copy") from None
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")),
                default=0)
    if opset not in OPSETS or not model.graph.node:
        raise ValueError(f"it has {len(model.graph.node)} nodes of opset {opset}, and fastrnn "
                         f"reads opsets {OPSETS[0]} to {OPSETS[-1]}: export it for opset 17")
    return model


def _count_parts(data: memoryview, kind: Any, count: int = 0, depth: int = 0) -> int:
    """`count` and the number of messages and texts within one of this kind, and within those.
    ValueError where they are more than a graph of layers has, IndexError where the bytes end too
    early. What protobuf makes of two bytes takes a hundred."""
    if depth > DEEPEST:
        raise ValueError("its parts are nested more deeply than those of a graph of layers")
    at, fields = 0, kind.fields_by_number
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 2:
            length, at = _varint(data, at)
            field = fields.get(key >> 3)
            if field is not None and field.type in (field.TYPE_MESSAGE, field.TYPE_STRING):
                count += 1
                if field.type == field.TYPE_MESSAGE:
                    part = data[at : at + length]
                    count = _count_parts(part, field.message_type, count, depth + 1)
                if count > MOST_PARTS:
                    raise ValueError(f"it has more than {MOST_PARTS:,} parts, far more than a "
                                     "graph of layers")
            at += length
        elif key & 7 == 0:
            at = _varint(data, at)[1]
        else:
            at += {1: 8, 5: 4}.get(key & 7, 0)
    return count


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of protobuf, and where the next one begins."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at, value = at + 1, value | (byte & 127) << shift
        if byte < 128:
            break
    return value, at


def numbers(tensor: Any) -> NDArray[Any]:
    """The array of a TensorProto; ValueError, without the tensor's name, for one that lies about
    its size, lies in another file, or has a type that fastrnn has not."""
    if tensor.data_location == tensor.EXTERNAL or tensor.external_data:
        raise ValueError("its numbers are in another file: write the graph as one file, in PyTorch "
                         "with torch.onnx.export(..., external_data=False)")
    if tensor.data_type not in TYPES:
        known = library().TensorProto.DataType
        name = known.Name(tensor.data_type) if tensor.data_type in known.values() else "unknown"
        raise ValueError(f"its type is {name.lower()}, and fastrnn reads float32 and float64")
    dtype, field = TYPES[tensor.data_type]
    stored = getattr(tensor, field)
    if len(stored) > MOST_INTEGERS and dtype[1:2] != "f":
        raise ValueError(f"it has {len(stored):,} whole numbers one by one")
    array = np.frombuffer(tensor.raw_data, np.uint8) if tensor.HasField("raw_data") else (
        np.array(stored, dtype))
    itemsize = np.dtype(dtype).itemsize if tensor.HasField("raw_data") else 1
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0 or len(shape) > 8 or prod(shape) * itemsize != len(array):
        raise ValueError(f"its shape is {short(shape[:9])}, and it has {len(array) // itemsize} "
                         "numbers")
    return array.view(dtype).reshape(shape)

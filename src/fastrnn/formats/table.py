"""The formats that fastrnn writes and reads, each named by the end of a file's name."""

from ..pages import play
from . import c_header, onnx_reading, onnx_writing, pytorch, rtneural
from .format import Format

FORMATS = (
    Format((".html", ".htm"), "a page", "open it in a browser", play.write,
           frozenset(("dtype", "title"))),
    Format((".h",), "a C99 header", "include it in a program", c_header.write,
           frozenset(("dtype",))),
    Format((".pt.safetensors", ".safetensors", ".pt", ".pth"), "tensors under PyTorch's names",
           "torch.nn reads them by load_state_dict", pytorch.write, read=pytorch.read,
           read_settings=frozenset(("vocabulary", "nonlinearity"))),
    Format((".onnx",), "an ONNX graph", "run it with onnxruntime", onnx_writing.write,
           frozenset(("softmax",)), onnx_reading.read, frozenset(("vocabulary",))),
    Format((".json",), "RTNeural's JSON", "load it in an audio plug-in", rtneural.write,
           frozenset(("sample_rate",))),
)
READABLE = tuple(each for each in FORMATS if each.read is not None)

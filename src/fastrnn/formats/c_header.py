"""A model as one C99 file: its weights, and a function that makes a step."""

import os
import re
import textwrap
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import CELLS as CELL_NAMES
from ..cells import kernel_cell
from ..data.scaling import Scaling
from ..files.store import begins_with, check_writable, replacing
from ..kernels.build import build_info
from ..model.model import Model
from ..pages.weights import Rounding, quantized, rounding

MARK = b"a recurrent network, written by fastrnn"
# what a layer keeps; its equation; and the lines of a step, from z = x Wx + b to the output
CELLS = {
    "rnn": (("h",), "h_t = tanh(z + h Wh)", """\
float *h = kept[0];
model_add(z, l->Wh, 0, H, h, H);
for (int j = 0; j < H; j++) h[j] = tanhf(z[j]);
return h;"""),
    "relu": (("h",), "h_t = max(0, z + h Wh)", """\
float *h = kept[0];
model_add(z, l->Wh, 0, H, h, H);
for (int j = 0; j < H; j++) h[j] = z[j] > 0 ? z[j] : 0;
return h;"""),
    "lstm": (("h", "c"), "[i f o g] = z + h Wh;  c_t = s(f) * c + s(i) * tanh(g),  "
             "h_t = s(o) * tanh(c_t)", """\
float *h = kept[0], *c = kept[1];
model_add(z, l->Wh, 0, 4 * H, h, H);
for (int j = 0; j < H; j++) {
    const float i = model_sigmoid(z[j]), f = model_sigmoid(z[H + j]);
    c[j] = f * c[j] + i * tanhf(z[3 * H + j]);
    h[j] = model_sigmoid(z[2 * H + j]) * tanhf(c[j]);
}
return h;"""),
    "mlstm": (("h", "c"), "[i f o g a q] = z;  [i f o g] += (a * h) Wh;  "
              "c_t = s(f) * c + s(i) * tanh(g),  h_t = s(o) * tanh(c_t) + q", """\
float *h = kept[0], *c = kept[1];
for (int j = 0; j < H; j++) h[j] *= z[4 * H + j];
model_add(z, l->Wh, 0, 4 * H, h, H);
for (int j = 0; j < H; j++) {
    const float i = model_sigmoid(z[j]), f = model_sigmoid(z[H + j]);
    c[j] = f * c[j] + i * tanhf(z[3 * H + j]);
    h[j] = model_sigmoid(z[2 * H + j]) * tanhf(c[j]) + z[5 * H + j];
}
return h;"""),
    "gru": (("h",), "[r z n] = z;  r, z = s(r + h Wr), s(z + h Wz);  "
            "n = tanh(n + r * (h Wn + bhn)),  h_t = (1 - z) * n + z * h", """\
float *h = kept[0], u[MODEL_UNITS];
model_add(z, l->Wh, 0, 2 * H, h, H);
memcpy(u, l->bhn, sizeof u);
model_add(u, l->Wh, 2 * H, H, h, H);
for (int j = 0; j < H; j++) {
    const float r = model_sigmoid(z[j]), old = model_sigmoid(z[H + j]);
    h[j] = (1 - old) * tanhf(z[2 * H + j] + r * u[j]) + old * h[j];
}
return h;"""),
    "gru_before": (("h",), "[r z n] = z;  r, z = s(r + h Wr), s(z + h Wz);  "
                   "n = tanh(n + (r * h) Wn),  h_t = (1 - z) * n + z * h", """\
float *h = kept[0], u[MODEL_UNITS];
model_add(z, l->Wh, 0, 2 * H, h, H);
for (int j = 0; j < H; j++) u[j] = model_sigmoid(z[j]) * h[j];
model_add(z + 2 * H, l->Wh, 2 * H, H, u, H);
for (int j = 0; j < H; j++) {
    const float old = model_sigmoid(z[H + j]);
    h[j] = (1 - old) * tanhf(z[2 * H + j]) + old * h[j];
}
return h;"""),
    "mgu": (("h",), "[f n] = z;  f = s(f + h Wf),  n = tanh(n + (f * h) Wn),  "
            "h_t = (1 - f) * h + f * n", """\
float *h = kept[0], u[MODEL_UNITS];
model_add(z, l->Wh, 0, H, h, H);
for (int j = 0; j < H; j++) u[j] = (z[j] = model_sigmoid(z[j])) * h[j];
model_add(z + H, l->Wh, H, H, u, H);
for (int j = 0; j < H; j++) h[j] = (1 - z[j]) * h[j] + z[j] * tanhf(z[H + j]);
return h;"""),
    "memory": (("m",), "u = max(0, z + m Wh), the output;  m_t = m + u Wm + bm", """\
float *m = kept[0];
model_add(z, l->Wh, 0, H, m, H);
for (int j = 0; j < H; j++) {
    z[j] = z[j] > 0 ? z[j] : 0;
    m[j] += l->bm[j];
}
model_add(m, l->Wm, 0, H, z, H);
return z;"""),
    "esn": (("h",), "h_t = (1 - a) * h + a * tanh(z + h W), of W only what is not 0", """\
float *h = kept[0];
for (int j = 0; j < H; j++) {
    for (int32_t i = l->starts[j]; i < l->starts[j + 1]; i++) z[j] += l->W[i] * h[l->from[i]];
}
for (int j = 0; j < H; j++) h[j] += l->leak_rate[j] * (tanhf(z[j]) - h[j]);
return h;"""),
}
CHOOSE = """
/* The symbols in UTF-8. */
static inline const char *model_symbol(int id) {
    static const char *const symbols[MODEL_OUTPUTS] = {
@symbols@
    };
    return symbols[id];
}
"""
SAMPLE = """
/* A symbol sampled from softmax(scores / temperature), by a number in [0, 1); temperature 0 takes
 * the likeliest. `scores` become probabilities but for their sum. */
static inline int model_choose(float *scores, float temperature, float uniform) {
    int best = 0, id = 0;
    float rest = 0;
@never@    for (int k = 1; k < MODEL_OUTPUTS; k++) best = scores[k] > scores[best] ? k : best;
    if (temperature <= 0) return best;
    const float top = scores[best];
    for (int k = 0; k < MODEL_OUTPUTS; k++) {
        scores[k] = expf((scores[k] - top) / temperature);
        rest += scores[k];
    }
    for (rest *= uniform; id < MODEL_OUTPUTS - 1 && rest >= scores[id]; id++) rest -= scores[id];
    return scores[id] > 0 ? id : best;
}
"""


def write(model: Model, path: str | os.PathLike[str], overwrite: bool = False, *,
          dtype: str = "float32") -> Rounding | None:
    """Write a model as a C99 header, and return what int8 weights change, or None.

    Raises ValueError for parameters that are not finite, and for int8 weights of a model of
    sequences, whose change cannot be measured; OSError if the file cannot be written."""
    if not np.isfinite(model.block).all():
        raise ValueError("the model's parameters are not finite: load an earlier checkpoint, or "
                         "train anew with a lower learning_rate")
    if dtype == "int8" and model.vocabulary is None:
        raise ValueError('dtype="int8" is measured on text that the model writes, and this model '
                         'was made for sequences: take dtype="float32"')
    replaced = overwrite or begins_with(path, MARK)
    check_writable(path, replaced)
    changed = rounding(model) if dtype == "int8" else None
    text = source(model, Path(path).stem, dtype, changed)
    with replacing(path, replaced) as file:
        file.write(text.encode())
    return changed


def source(model: Model, name: str, dtype: str = "float32",
           changed: Rounding | None = None) -> str:
    """The header as text. `name` is the beginning of all names in it, as far as C allows it."""
    parts = _parts(model, dtype, changed)
    text = files(__package__).joinpath("model.h.in").read_text(encoding="utf-8")
    for key, value in parts.items():
        text = text.replace(f"@{key}@", value)
    name = re.sub(r"\W", "_", name, flags=re.ASCII) or "model"
    name = f"_{name}" if name[0].isdigit() else name
    text = re.sub(r"\bmodel(?=_|\.h\b)", name, text)
    text = re.sub(r"\bMODEL(?=_)", name.upper(), text)
    return re.sub(r"\n\n\n+", "\n\n", text)


def _parts(model: Model, dtype: str, changed: Rounding | None) -> dict[str, str]:
    """What stands for each @word@ of the template."""
    config, sizes = model.config, model.sizes
    kernel = kernel_cell(config["cell"], config["reset_after"])
    kind = next(name for name in CELLS if kernel == kernel_cell(
        name.partition("_")[0], name != "gru_before"))
    keeps, equation, step = CELLS[kind]
    labels, symbols = len(config["labels"] or ()), bool(sizes.input_symbols)
    arrays: list[str] = []
    layers = [_layer(model, i, dtype, arrays) for i in range(config["num_layers"])]
    scaling = model.scaling or Scaling()
    embedded = bool(config["embedding_size"])
    text = model.vocabulary is not None
    return {
        "text": _text(model) if text else "",
        "cell": _indented(step), "equation": f" *     {equation}",
        "arrays": "\n".join([*arrays, *_outside(model, dtype, scaling)]),
        "members": "\n".join(f"    {declared};" for declared in layers[0]),
        "table": ",\n".join(f"    {{{', '.join(layer.values())}}}" for layer in layers),
        "version": build_info()["version"], "about": _about(model, dtype, changed),
        ", label_weights": ", label_weights" if labels else "",
        ", const float *weights": ", const float *weights" if labels else "",
        "argument": "symbol" if symbols else "numbers",
        "parameter": "int symbol" if symbols else "const float *numbers",
        "inputs": str(sizes.inputs), "outputs": str(sizes.outputs),
        "inputs_are": "symbols, of which one is read" if symbols else "numbers, all read",
        "outputs_are": "symbols" if sizes.output_symbols else "numbers",
        "become": ("the scores of the next symbol, whose softmax are probabilities" if text else
                   "scores, whose softmax are probabilities" if sizes.output_symbols else
                   "the predicted numbers"),
        "units": str(config["hidden_size"]), "layers": str(config["num_layers"]),
        "rows": f"{kernel.gates} * MODEL_UNITS", "labels": str(labels),
        "number": "int8_t" if dtype == "int8" else "float", "keeps": str(len(keeps)),
        "begin": (". `weights` [MODEL_LABELS], of sum 1, say how much of each label there is"
                  if labels else ""),
        "start": _start(model, bool(labels)),
        "buffer": (f"    float e[{config['embedding_size']}];\n" if embedded else "" if symbols else
                   "    float u[MODEL_INPUTS];\n"),
        "first_input": "e" if embedded else "0" if symbols else "u",
        "first_size": (str(config["embedding_size"]) if embedded else "0" if symbols else
                       "MODEL_INPUTS"),
        "read": _read(model, scaling, embedded), "product": _product(symbols and not embedded),
        "write": "" if scaling.targets is None else _indented(
            "for (int k = 0; k < MODEL_OUTPUTS; k++) out[k] = out[k] * model_out_scale[k] + "
            "model_out_mean[k];"),
    }


def _layer(model: Model, i: int, dtype: str, arrays: list[str]) -> dict[str, str]:
    """The members of a layer as C declares them, each with its value; its arrays are appended."""
    prefix, members = f"model_layer{i}_", {}
    if model.reservoir is None:
        found = {name.partition(".")[2]: p for name, p in model.params.items()
                 if name.startswith(f"layer{i}.")}
    else:
        found = {"Wx": model.reservoir.Win.T, "b": model.reservoir.b}
    picked = i == 0 and model.sizes.input_symbols and not model.config["embedding_size"]
    for name, p in found.items():
        if name == "Wc":
            arrays.extend(_matrix("model_labels_W", p, dtype))
        elif p.ndim == 2:
            arrays.extend(_matrix(prefix + name, p, dtype, transposed=name != "Wx" or not picked))
            members[f"model_matrix {name}"] = _matrix_value(prefix + name, dtype)
        else:
            arrays.append(_array("float", prefix + name, p))
            members[f"const float *{name}"] = prefix + name
    if model.reservoir is not None:
        W, rate = model.reservoir.W, model.reservoir.leak_rate
        for name, C, values in (
                ("W", "float", W.data), ("from", "int32_t", W.indices),
                ("starts", "int32_t", W.indptr),
                ("leak_rate", "float", np.broadcast_to(rate, len(model.reservoir.b)))):
            arrays.append(_array(C, prefix + name, values if len(values) else [0]))
            members[f"const {C} *{name}"] = prefix + name
    return members


def _outside(model: Model, dtype: str, scaling: Scaling) -> Iterable[str]:
    """The arrays of what is outside the layers."""
    if model.config["embedding_size"]:
        yield from _matrix("model_embedding", model.params["embedding.W"], dtype, transposed=False)
        yield _matrix_named("model_embedding", "model_embedding", dtype)
    yield from _matrix("model_head", model.params["head.W"], dtype)
    yield _matrix_named("model_head_W", "model_head", dtype)
    yield _array("float", "model_head_b", model.params["head.b"])
    if model.config["labels"]:
        yield _matrix_named("model_labels", "model_labels_W", dtype)
    if model.vocabulary is not None and model.vocabulary.stop is None:
        yield _array("float", "model_first", model.state.ravel())
    for name, given in (("in", scaling.inputs), ("out", scaling.targets)):
        for part, values in zip(("mean", "scale"), () if given is None else given, strict=False):
            yield _array("float", f"model_{name}_{part}", values)


def _matrix(name: str, W: NDArray[Any], dtype: str, transposed: bool = True) -> Iterable[str]:
    """The arrays of a matrix (D, n), whose rows C reads as columns where they are multiplied."""
    scales, w = quantized(W.astype(np.float32)) if dtype == "int8" else (None, W)
    yield _array("model_weight", f"{name}_w", w.T if transposed else w)
    if scales is not None:
        yield _array("float", f"{name}_scale", scales)


def _matrix_value(name: str, dtype: str) -> str:
    return f"{{{name}_w, {f'{name}_scale' if dtype == 'int8' else '0'}}}"


def _matrix_named(name: str, arrays: str, dtype: str) -> str:
    return f"static const model_matrix {name} = {_matrix_value(arrays, dtype)};"


def _array(kind: str, name: str, values: Any) -> str:
    """A constant array, with the shortest numbers of which float32 makes the same."""
    numbers = np.ascontiguousarray(values).ravel()
    if numbers.dtype.kind == "f":
        shown = [_float(x) for x in numbers.astype(np.float32)]
    else:
        shown = [str(x) for x in numbers.tolist()]
    lines = textwrap.wrap(", ".join(shown), 96, break_long_words=False, break_on_hyphens=False)
    body = "\n    ".join(lines)
    return f"static const {kind} {name}[{len(shown)}] = {{\n    {body}}};"


def _float(x: np.float32) -> str:
    text = np.format_float_scientific(x, trim="-", exp_digits=1)
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _start(model: Model, labels: bool) -> str:
    lines = ["memset(s->kept, 0, sizeof s->kept);"]
    if model.vocabulary is not None and model.vocabulary.stop is None:
        lines = ["memcpy(s->kept, model_first, sizeof s->kept);"]
    lines.append("memcpy(s->b, model_layers[0].b, sizeof s->b);")
    if labels:
        lines.append("model_add(s->b, model_labels, 0, MODEL_ROWS, weights, MODEL_LABELS);")
    return _indented("\n".join(lines))


def _read(model: Model, scaling: Scaling, embedded: bool) -> str:
    """What goes before the layers: the input of the first one."""
    if embedded:
        E = model.config["embedding_size"]
        return f"""\
    for (int i = 0; i < {E}; i++) {{
        e[i] = (float)model_embedding.w[(int32_t)symbol * {E} + i];
        if (model_embedding.scale) e[i] *= model_embedding.scale[i];
    }}"""
    if model.sizes.input_symbols:
        return ""
    scaled = "" if scaling.inputs is None else " - model_in_mean[i]) / model_in_scale[i]"
    return ("    for (int i = 0; i < MODEL_INPUTS; i++) u[i] = "
            f"{'(' if scaled else ''}numbers[i]{scaled};")


def _product(picks: bool) -> str:
    """The part of the input in z: a product, or of the first layer a row of Wx."""
    add = "model_add(now, layer->Wx, 0, MODEL_ROWS, x, n);"
    if not picks:
        return f"        {add}"
    return f"""\
        if (x) {add}
        for (int j = 0; !l && j < MODEL_ROWS; j++) {{
            const float w = (float)layer->Wx.w[(int32_t)symbol * MODEL_ROWS + j];
            now[j] += layer->Wx.scale ? layer->Wx.scale[j] * w : w;
        }}"""


def _text(model: Model) -> str:
    """The symbols, where each is a text, and how one is chosen."""
    vocabulary = model.text_vocabulary
    never = ""
    if vocabulary.start is not None and vocabulary.start != vocabulary.stop:
        never = (f"    scores[{vocabulary.symbols.index(vocabulary.start)}] = -INFINITY;  "
                 "/* the symbol before a record */\n")
    choose = SAMPLE.replace("@never@", never)
    if vocabulary.unit not in ("char", "word"):
        return choose
    symbols = ",\n".join(f"        {_string(str(symbol))}" for symbol in vocabulary.symbols)
    return CHOOSE.replace("@symbols@", symbols) + choose


def _string(text: str) -> str:
    """A string of C, in which all but plain characters of ASCII are octal."""
    plain = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}"
                    for b in text.encode())
    return f'"{plain}"'


def _about(model: Model, dtype: str, changed: Rounding | None) -> str:
    """What the model is, as lines of the comment on top."""
    config, vocabulary = model.config, model.vocabulary
    layers = f"{config['num_layers']} layers of " if config["num_layers"] > 1 else ""
    lines = [f"{CELL_NAMES[config['cell']].summary}, {layers}{config['hidden_size']} units, "
             f"{model.block.size} trained parameters; weights in {dtype}."]
    if changed is not None:
        lines.append(f"What int8 changes: {changed.in_words(model.text_vocabulary.unit)}.")
    if config["labels"]:
        lines.append("Labels, in the order of their weights: " + ", ".join(
            ascii(label).replace("*/", "* /") for label in config["labels"]) + ".")
    if vocabulary is not None and vocabulary.start is not None:
        start, stop = (vocabulary.symbols.index(each)
                       for each in (vocabulary.start, vocabulary.stop))
        lines.append(f"A record begins with symbol {start} and ends with symbol {stop}.")
    return "\n".join(f" * {line}" for line in textwrap.wrap(" ".join(lines), 96))


def _indented(lines: str) -> str:
    return textwrap.indent(lines, "    ")

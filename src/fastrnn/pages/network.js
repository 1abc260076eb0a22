"use strict";
// A recurrent network that reads and writes text: its weights, one step, its symbols, sampling.
// Equations are those of help(fastrnn.Model): x is the input of a layer, h its hidden state, s the
// logistic sigmoid, and * the product of each two numbers. Weights are float32, sums float64.

// ---- weights ----

function fromBase64(text) {
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes.buffer;
}

// The tensors by name, each flat, row after row. They lie one behind the other as little-endian
// float32 or int32; of int8 first a float32 scale for each column: w[i][j] = scale[j] q[i][j].
function readTensors(tensors, weights) {
  const buffer = fromBase64(weights), found = {};
  let at = 0;
  const take = (Kind, count) => {
    const end = at + count * Kind.BYTES_PER_ELEMENT, part = new Kind(buffer.slice(at, end));
    at = end;
    return part;
  };
  for (const {name, shape, dtype} of tensors) {
    const count = shape.reduce((a, b) => a * b, 1), columns = shape[shape.length - 1];
    if (dtype === "int8") {
      const scale = take(Float32Array, columns);
      found[name] = Float32Array.from(take(Int8Array, count), (q, i) => scale[i % columns] * q);
    } else {
      found[name] = take(dtype === "int32" ? Int32Array : Float32Array, count);
    }
  }
  return found;
}

// ---- cells ----

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// z += x W, or of these columns alone. W has a row for each number of x; four rows at a time, so
// that z is read and written less often.
function addProduct(z, x, W, from = 0, to = z.length) {
  const n = W.length / x.length, whole = x.length - (x.length % 4);
  for (let i = 0; i < whole; i += 4) {
    const a = x[i], b = x[i + 1], c = x[i + 2], d = x[i + 3];
    for (let j = from, k = i * n + from; j < to; j++, k++) {
      z[j] += a * W[k] + b * W[k + n] + c * W[k + 2 * n] + d * W[k + 3 * n];
    }
  }
  for (let i = whole; i < x.length; i++) {
    for (let j = from, k = i * n + from; j < to; j++, k++) z[j] += x[i] * W[k];
  }
}

// One step of each cell. z holds x Wx + b, for all gates side by side; the step changes z, the
// hidden state h and what else the layer keeps. `keeps` are the parts of the state, in their order;
// `bounded`: whether h lies between -1 and 1.
const CELLS = {
  // h = tanh(x Wx + h Wh + b)
  rnn: {gates: 1, keeps: ["h"], bounded: true, step({z, h, Wh}) {
    addProduct(z, h, Wh);
    for (let j = 0; j < h.length; j++) h[j] = Math.tanh(z[j]);
  }},

  // h = max(0, x Wx + h Wh + b)
  relu: {gates: 1, keeps: ["h"], bounded: false, step({z, h, Wh}) {
    addProduct(z, h, Wh);
    for (let j = 0; j < h.length; j++) h[j] = Math.max(0, z[j]);
  }},

  // [i f o g] = x Wx + h Wh + b;  c = s(f) * c + s(i) * tanh(g),  h = s(o) * tanh(c)
  lstm: {gates: 4, keeps: ["h", "c"], bounded: true, step({z, h, c, Wh}) {
    const H = h.length;
    addProduct(z, h, Wh);
    for (let j = 0; j < H; j++) {
      const i = sigmoid(z[j]), f = sigmoid(z[H + j]), o = sigmoid(z[2 * H + j]);
      c[j] = f * c[j] + i * Math.tanh(z[3 * H + j]);
      h[j] = o * Math.tanh(c[j]);
    }
  }},

  // [i f o g a q] = x Wx + b;  [i f o g] += (a * h) Wh, then as the lstm;  h += q
  mlstm: {gates: 6, keeps: ["h", "c"], bounded: false, step(layer) {
    const {z, h} = layer, H = h.length;
    for (let j = 0; j < H; j++) h[j] *= z[4 * H + j];
    CELLS.lstm.step({...layer, z: z.subarray(0, 4 * H)});
    for (let j = 0; j < H; j++) h[j] += z[5 * H + j];
  }},

  // [r z n] = x Wx + b;  r, z = s(r + h Wr), s(z + h Wz);  h = (1 - z) * n + z * h  with
  // n = tanh(n + r * (h Wn + bhn)), or where r is applied before the product tanh(n + (r * h) Wn)
  gru: {gates: 3, keeps: ["h"], bounded: true, step({z, h, u, Wh, bhn}) {
    const H = h.length;
    addProduct(z, h, Wh, 0, 2 * H);
    for (let j = 0; j < 2 * H; j++) z[j] = sigmoid(z[j]);
    if (bhn) {
      u.set(bhn, 2 * H);
      addProduct(u, h, Wh, 2 * H, 3 * H);
      for (let j = 0; j < H; j++) z[2 * H + j] += z[j] * u[2 * H + j];
    } else {
      addProduct(z, h.map((hj, j) => z[j] * hj), Wh, 2 * H, 3 * H);
    }
    for (let j = 0; j < H; j++) {
      h[j] = (1 - z[H + j]) * Math.tanh(z[2 * H + j]) + z[H + j] * h[j];
    }
  }},

  // f = s(x Wf + h Uf + bf), n = tanh(x Wn + (f * h) Un + bn);  h = (1 - f) * h + f * n
  mgu: {gates: 2, keeps: ["h"], bounded: true, step({z, h, Wh}) {
    const H = h.length;
    addProduct(z, h, Wh, 0, H);
    for (let j = 0; j < H; j++) z[j] = sigmoid(z[j]);
    addProduct(z, h.map((hj, j) => z[j] * hj), Wh, H, 2 * H);
    for (let j = 0; j < H; j++) h[j] = (1 - z[j]) * h[j] + z[j] * Math.tanh(z[H + j]);
  }},

  // h = max(0, x Wx + m Wh + b), the output of the layer;  m = m + h Wm + bm
  memory: {gates: 1, keeps: ["m"], bounded: false, step({z, h, m, Wh, Wm, bm}) {
    addProduct(z, m, Wh);
    for (let j = 0; j < h.length; j++) h[j] = Math.max(0, z[j]);
    for (let j = 0; j < m.length; j++) m[j] += bm[j];
    addProduct(m, h, Wm);
  }},

  // h = (1 - a) * h + a * tanh(x Win + h W + b); of W only what is not 0, unit after unit: W.data,
  // from which unit each comes (W.indices), and where those of each unit begin (W.indptr)
  esn: {gates: 1, keeps: ["h"], bounded: true, step(layer) {
    const {z, h, leak_rate} = layer;
    const data = layer["W.data"], indices = layer["W.indices"], starts = layer["W.indptr"];
    for (let j = 0; j < h.length; j++) {
      for (let k = starts[j]; k < starts[j + 1]; k++) z[j] += data[k] * h[indices[k]];
    }
    for (let j = 0; j < h.length; j++) {
      h[j] += leak_rate[j] * (Math.tanh(z[j]) - h[j]);
    }
  }},
};

// ---- the network ----

class Network {
  constructor(data) {
    const tensors = readTensors(data.tensors, data.weights), H = data.hidden_size;
    this.cell = CELLS[data.cell];
    this.embedding = tensors["embedding.W"];
    this.first = tensors.state;  // the state from which a text goes on; of a record zeros
    this.headW = tensors["head.W"];
    this.headb = tensors["head.b"];
    this.K = this.headb.length;
    this.scores = new Float64Array(this.K);
    this.layers = [];
    for (let l = 0; l < data.num_layers; l++) {
      const G = this.cell.gates, layer = {h: new Float64Array(H), z: new Float64Array(G * H)};
      layer.u = new Float64Array(G * H);
      for (const name of this.cell.keeps) layer[name] = new Float64Array(H);
      for (const name of Object.keys(tensors)) {
        if (name.startsWith(`layer${l}.`)) layer[name.slice(name.indexOf(".") + 1)] = tensors[name];
      }
      this.layers.push(layer);
    }
    this.start();
  }

  // Begin anew, for a model with labels with the weight of each, which sum to 1: they are inputs
  // of the first layer at every step.
  start(labels = null) {
    let at = 0;
    for (const layer of this.layers) {
      layer.h.fill(0);
      for (const name of this.cell.keeps) {
        layer[name].set(this.first.subarray(at, at + layer.h.length));
        at += layer.h.length;
      }
      layer.bias = Float64Array.from(layer.b);
    }
    if (labels) addProduct(this.layers[0].bias, labels, this.layers[0].Wc);
    return this;
  }

  // Read a symbol; the scores of the next one.
  read(id) {
    let x = null;
    for (const layer of this.layers) {
      const {z, Wx} = layer;
      z.set(layer.bias);
      if (x) {
        addProduct(z, x, Wx);
      } else if (this.embedding) {
        const E = this.embedding.length / this.K;
        addProduct(z, this.embedding.subarray(id * E, (id + 1) * E), Wx);
      } else {  // a one-hot input picks a row
        for (let j = 0, k = id * z.length; j < z.length; j++, k++) z[j] += Wx[k];
      }
      this.cell.step(layer);
      x = layer.h;
    }
    this.scores.set(this.headb);
    addProduct(this.scores, x, this.headW);
    return this.scores;
  }
}

// exp(score / temperature) divided by its largest value: the probabilities but for their sum.
function weightsOf(scores, temperature = 1) {
  const sharpness = 1 / Math.min(Math.max(temperature, 1e-30), 1e9);
  let most = -Infinity;
  for (const score of scores) most = Math.max(most, score);
  return scores.map((score) => Math.exp((score - most) * sharpness));
}

function softmax(scores) {
  const weights = weightsOf(scores), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

// ---- sampling ----

// Uniform random numbers in [0, 1) with 53 bits: xoshiro128** of Blackman and Vigna (2018), its
// state filled by splitmix32 from a seed, a whole number below 2^32.
function randomNumbers(seed) {
  let at = seed >>> 0;
  const filled = () => {
    at = (at + 0x9e3779b9) >>> 0;
    let t = Math.imul(at ^ (at >>> 16), 0x21f0aaad);
    t = Math.imul(t ^ (t >>> 15), 0x735a2d97);
    return (t ^ (t >>> 15)) >>> 0;
  };
  const rotated = (x, k) => (x << k) | (x >>> (32 - k));
  let [a, b, c, d] = [filled(), filled(), filled(), filled()];
  const next = () => {
    const result = Math.imul(rotated(Math.imul(b, 5), 7), 9) >>> 0, t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotated(d, 11);
    return result;
  };
  return () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
}

// An id by its weight: the first at which the sum passes `rest`, else the last that is possible.
function pick(weights, uniform) {
  let rest = uniform * weights.reduce((a, b) => a + b, 0), last = 0;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id] <= 0) continue;
    last = id;
    rest -= weights[id];
    if (rest < 0) break;
  }
  return last;
}

// The next symbol, sampled from softmax(scores / temperature) of the topK likeliest (0: of all);
// temperature 0 takes the likeliest. Ids that are barred never come.
function choose(scores, {temperature, topK}, barred, random) {
  const allowed = barred.size ? scores.map((s, id) => (barred.has(id) ? -Infinity : s)) : scores;
  if (temperature === 0) return allowed.indexOf(allowed.reduce((a, b) => Math.max(a, b)));
  const weights = weightsOf(allowed, temperature);
  if (topK > 0 && topK < weights.length) {
    const ranked = weights.slice().sort(), least = ranked[ranked.length - topK];
    let equal = topK - weights.filter((weight) => weight > least).length;  // of these, the first
    for (let id = 0; id < weights.length; id++) {
      if (weights[id] < least || (weights[id] === least && equal-- <= 0)) weights[id] = 0;
    }
  }
  return pick(weights, random());
}

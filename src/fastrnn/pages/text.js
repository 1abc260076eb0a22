// ---- symbols ----

// White space as Python's str.isspace has it, inside a class of a regular expression.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES = new RegExp(`[${SPACE}]+`, "u");
const WORDS = new RegExp(`[\\p{L}\\p{N}_]+|[^\\p{L}\\p{N}_${SPACE}]`, "gu");
// How a text becomes words, as Vocabulary(split=...) of fastrnn describes it.
const SPLITTERS = {
  blank: (text) => (text === "" ? [] : text.split(/ |\r\n?|\n/)),
  space: (text) => text.split(SPACES).filter((word) => word !== ""),
  mark: (text) => text.match(WORDS) || [],
};

const NAMES = new Map([["", "(empty)"], [" ", "space"], ["\n", "line end"], ["\t", "tab"]]);

class Vocabulary {
  constructor({unit, symbols, split, lower, unknown, start, stop}) {
    Object.assign(this, {unit, symbols, split, lower});
    this.ids = new Map(symbols.map((symbol, id) => [symbol, id]));
    const id = (symbol) => (symbol === undefined || symbol === null ? -1 : this.ids.get(symbol));
    // ids, -1 where there is none
    [this.unknown, this.start, this.stop] = [id(unknown), id(start), id(stop)];
    this.records = this.stop >= 0;
  }

  // The symbols of a text: characters, words, or the bytes of its UTF-8.
  cut(text) {
    if (this.unit === "byte") return Array.from(new TextEncoder().encode(text));
    if (this.unit === "char") return Array.from(text);
    return SPLITTERS[this.split](this.lower ? text.toLowerCase() : text);
  }

  // The ids of a text; an Error that names the symbols that the model does not know.
  encode(text) {
    const symbols = this.cut(text), never = new Set();
    const ids = symbols.map((symbol) => {
      const id = this.ids.has(symbol) ? this.ids.get(symbol) : this.unknown;
      if (id < 0 || (this.records && (id === this.start || id === this.stop))) never.add(symbol);
      return id;
    });
    if (never.size) {
      const names = Array.from(never, (symbol) => this.name(symbol));
      throw new Error(`The model cannot read ${names.slice(0, 10).join(", ")}`
        + `${names.length > 10 ? ` and ${names.length - 10} more` : ""}: take `
        + `${names.length > 1 ? "them" : "it"} out of the text to begin with.`);
    }
    return ids;
  }

  // A symbol as people call it.
  name(symbol) {
    if (this.unit === "byte") {
      if (symbol < 33 || symbol > 126) return `0x${symbol.toString(16).padStart(2, "0")}`;
      return String.fromCharCode(symbol);
    }
    return NAMES.get(symbol) || symbol;
  }

  // From ids, which come one by one, to text, each symbol as soon as it is known.
  decoder() {
    if (this.unit === "byte") {  // a character is known once all its bytes are
      const reader = new TextDecoder("utf-8", {ignoreBOM: true});
      return {
        push: (id) => reader.decode(Uint8Array.of(this.symbols[id]), {stream: true}),
        end: () => reader.decode(),
      };
    }
    let blank = "";
    const push = (id) => {
      const text = blank + this.symbols[id];
      if (this.unit === "word") blank = " ";
      return text;
    };
    return {push, end: () => ""};
  }

  // A text to begin with, as it stands before what follows.
  before(prime) {
    const blank = this.unit === "word" && prime !== "" && !SPACES.test(prime.slice(-1));
    return blank ? `${prime} ` : prime;
  }
}

// ---- writing ----

// Writes one text or record after the other, as Model.sample of fastrnn does. Settings: prime,
// labels (weights that sum to 1, or null), temperature, topK (0: all) and random, a function.
class Writer {
  constructor(network, vocabulary, starts, settings) {
    Object.assign(this, {network, vocabulary, starts, settings});
    this.given = vocabulary.encode(settings.prime);
    this.begin();
  }

  begin() {
    const {network, vocabulary, given} = this, {records} = vocabulary;
    network.start(this.settings.labels);
    const ids = records ? [vocabulary.start, ...given] : given;
    for (const id of ids.slice(0, -1)) network.read(id);
    this.last = ids.length ? ids[ids.length - 1] : -1;
    this.decoder = vocabulary.decoder();
    this.ended = this.scored = false;
    // a record has no start symbol inside, and without a prime it is not empty
    this.barred = new Set(records && vocabulary.start !== vocabulary.stop ? [vocabulary.start] : []);
    this.first = new Set(records && !given.length ? [...this.barred, vocabulary.stop] : this.barred);
  }

  // The next symbol as text: "" where a byte is no character yet. A record sets `ended`.
  next() {
    const {network, vocabulary, settings} = this;
    if (this.last < 0) {  // a text without a prime begins as lines of the training text do
      const {starts} = this, any = starts.some((count) => count > 0);
      this.last = pick(any ? starts : starts.map(() => 1), settings.random());
    } else {
      this.scored = true;  // by network.scores, from which the symbol comes
      this.last = choose(network.read(this.last), settings, this.first, settings.random);
      this.first = this.barred;
    }
    this.ended = vocabulary.records && this.last === vocabulary.stop;
    return this.ended ? this.decoder.end() : this.decoder.push(this.last);
  }
}

// The probabilities of the next symbol after each of a text (of a record, its start symbol too).
function probabilities(network, vocabulary, text, labels = null) {
  const ids = vocabulary.encode(text);
  if (vocabulary.records) ids.unshift(vocabulary.start);
  network.start(labels);
  return ids.map((id) => Array.from(softmax(network.read(id))));
}

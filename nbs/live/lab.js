// The AC-GAN Lab: the game in the plane, played in every <div class="acgan-lab"> of the page.
// data-lab: settings as in a link; data-compact: only the plane, its buttons and its scores.

import { G_SOURCE, HEADS, new_game, step, TERMS } from "./game.js";
import { COLORS, draw_curves, draw_plane, SHAPES, theme, VIEW } from "./picture.js";
import {
  batch_of, checked, DATA, from_link, plain, RANGES, reach_of, real_points, samples, scores,
  MOST_DRAWN, to_link, typed,
} from "./plane.js";

const CLASS_NAMES = { face: ["outline", "eyes", "mouth"] };
const SAMPLES = 300, REAL_SHOWN = 500, REAL_POINTS = 2000, LONGEST = 400;
const ANEW = ["data", "classes", "head", "seed"]; // settings that start a new game

const WORDS = { // of each term: what it says, which colour and dash its curve has
  source_real: ["real points are real", "real", []],
  source_fake: ["generated points are fake", "made", []],
  class_real: ["real points have their class", "real", [4, 3]],
  class_fake: ["generated points have the class asked for", "made", [4, 3]],
  source: ["generated points pass as real", "ink", []],
  class: ["generated points pass as the class asked for", "ink", [4, 3]],
};
const SCORES = {
  class: ["of the class asked for", "ink", []],
  near: ["near a real point", "made", []],
  covered: ["of the data covered", "real", [4, 3]],
};
const FIELDS = {
  data: "Data", classes: "Classes", head: "Head of D", seed: "Seed", objective: "G's source term",
  class_weight: "Class weight", g_learning_rate: "Learning rate of G",
  d_learning_rate: "Learning rate of D", batch_size: "Batch size",
};
const TITLES = {
  acgan: "AC-GAN", adc: "ADC-GAN", non_saturating: "non-saturating", minimax: "minimax",
};

const percent = (v) => `${Math.round(100 * v)} %`;
const count = (v) => v.toLocaleString("en");

/** An element; `attributes` that are functions are listeners. */
function element(tag, attributes = {}, ...children) {
  const namespace = ["svg", "path"].includes(tag) ? "http://www.w3.org/2000/svg" : null;
  const made = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

function marker(k) {
  const path = element("path", { d: SHAPES[k], fill: COLORS[k] });
  return element("svg", { viewBox: "-1.35 -1.35 2.7 2.7", "aria-hidden": "true" }, path);
}

function stroke(color, dash) {
  const style = `stroke: var(--lab-${color}); stroke-width: 2; stroke-dasharray: ${dash.join(" ")}`;
  const path = element("path", { d: "M0 4H28", style });
  return element("svg", { viewBox: "0 0 28 8", "aria-hidden": "true" }, path);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch { // a mistyped %
    return text;
  }
}

/** Means of the logs over the steps, never more than LONGEST of them: then pairs become one. */
class Curve {
  steps = []; rows = []; stride = 1; open = [];

  add(step, row) {
    this.open.push(row);
    if (this.open.length < this.stride) return;
    this.steps.push(step);
    this.rows.push(averaged(this.open));
    this.open = [];
    if (this.rows.length < LONGEST) return;
    this.rows = this.rows.flatMap((r, i) => (i % 2 ? [averaged([this.rows[i - 1], r])] : []));
    this.steps = this.steps.filter((_, i) => i % 2);
    this.stride *= 2;
  }

  lines(words, colors) {
    return Object.entries(words).map(([name, [, color, dash]]) => (
      { values: this.rows.map((row) => row[name]), color: colors[color], dash }));
  }
}

function averaged(rows) {
  const mean = (name) => rows.reduce((sum, row) => sum + row[name], 0) / rows.length;
  return Object.fromEntries(Object.keys(rows[0]).map((name) => [name, mean(name)]));
}

class Lab {
  constructor(root) {
    this.root = root;
    this.compact = "compact" in root.dataset;
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.drawn = { points: new Float64Array(0), labels: new Int32Array(0) };
    this.brush = 0;
    this.read(this.linked() ?? root.dataset.lab ?? "ring");
    this.build();
    this.restart();
    this.watch();
  }

  /** What the address of the page says, for the lab that is not compact. */
  linked() {
    return this.compact ? undefined : /^#lab=(.+)$/.exec(decoded(location.hash))?.[1];
  }

  read(text) {
    const { settings, drawn } = from_link(text), own = settings.data === "drawn";
    if (own && drawn.labels.length) this.drawn = drawn; // a link without points keeps those there are
    if (own) settings.classes = Math.max(settings.classes, this.drawn_classes());
    this.settings = settings;
  }

  /** The number of classes that the drawing needs. */
  drawn_classes() {
    return Math.max(2, Math.max(-1, ...this.drawn.labels) + 1);
  }

  // ---- The game ----

  restart() {
    const first = !this.state;
    this.stop();
    this.state = new_game(this.settings);
    this.collect();
    [this.curve, this.shares, this.logs] = [new Curve(), new Curve(), null];
    this.said = 0;
    this.measure();
    this.show();
    if (!first) this.say();
  }

  /** Real points to train on, and others to measure with. */
  collect() {
    const own = this.settings.data === "drawn", { settings } = this;
    this.real = own ? this.drawn : real_points(settings, REAL_POINTS, 0);
    this.fresh = own ? this.drawn : real_points(settings, REAL_SHOWN, 1);
  }

  advance() {
    const state = { ...this.state, settings: this.settings };
    const done = step({ ...state, batch: batch_of(state, this.real) });
    [this.state, this.logs] = [done.state, done.logs];
    this.curve.add(this.state.step, done.logs);
  }

  measure() {
    this.made = samples(this.state, SAMPLES);
    if (!this.real.labels.length) return;
    this.scores = scores(this.made, this.fresh, reach_of(this.settings));
    this.shares.add(this.state.step, this.scores);
  }

  play() {
    if (this.playing || !this.real.labels.length) return;
    this.playing = true;
    this.due = 0;
    this.request = requestAnimationFrame(() => this.frame());
  }

  stop() {
    this.playing = false;
    cancelAnimationFrame(this.request);
  }

  toggle() {
    const played = this.playing;
    if (played) this.stop();
    else this.play();
    if (this.state.step) this.measure();
    this.show();
    if (played) this.say();
  }

  one_step() {
    this.advance();
    this.look();
  }

  /** Some steps; a picture now and then, so that drawing takes at most a quarter of the time. */
  frame() {
    if (!this.playing) return;
    const start = performance.now();
    if (this.visible) {
      do this.advance(); while (performance.now() - start < 14);
      if (performance.now() > this.due) this.look();
    }
    this.request = requestAnimationFrame(() => this.frame());
  }

  look() {
    const start = performance.now();
    this.measure();
    this.show();
    const end = performance.now(), pause = this.calm.matches ? 500 : 30; // twice a second, if calm
    this.due = end + Math.max(pause, 3 * (end - start));
  }

  // ---- The page ----

  build() {
    const frame = element("div", { class: `lab-frame ${this.compact ? "" : "lab-full"}` });
    frame.append(this.stage(), ...(this.compact ? [] : [this.controls(), this.curves()]));
    this.root.replaceChildren(frame);
  }

  stage() {
    this.plane = element("canvas", {
      class: "lab-plane", role: "img", pointerdown: (e) => { this.spot = null; this.draw(e); },
      pointermove: (e) => this.draw(e), keydown: (e) => this.key(e),
      focus: () => { this.cursor ??= [0, 0]; this.show(); }, blur: () => this.show(),
    });
    this.keys = element("div", { class: "lab-row" });
    const button = (text, click, options) =>
      element("button", { type: "button", click, ...options }, text);
    this.play_button = button("Play", () => this.toggle(), { class: "lab-play" });
    this.step_button = button("Step", () => this.one_step());
    const reset = button("Reset", () => this.restart());
    this.clear = button("Clear the drawing", () => this.erase(), { hidden: true });
    this.counter = element("span", { class: "lab-counter" }); // too fast to be read out
    this.live = element("p", { class: "lab-hidden", "aria-live": "polite" });
    const buttons = element("div", { class: "lab-buttons" },
      this.play_button, this.step_button, reset, this.counter);
    return element("div", { class: "lab-stage" }, this.plane, this.keys, buttons,
      this.score_list(), this.foot(), this.live);
  }

  score_list() {
    this.score_outputs = {};
    const rows = Object.entries(SCORES).map(([name, [words]]) => {
      this.score_outputs[name] = element("dd", { "data-score": name });
      return element("div", {}, element("dt", {}, words), this.score_outputs[name]);
    });
    return element("dl", { class: "lab-scores" }, ...rows);
  }

  foot() {
    this.link = element("a", { href: "#" });
    this.link.textContent = this.compact ? "Open this game in the lab" : "Link to these settings";
    const copy = () => navigator.clipboard?.writeText(this.link.href).catch(() => {});
    if (!this.compact) this.link.addEventListener("click", copy);
    this.full = element("span", {}, `The drawing is full: ${MOST_DRAWN} points.`);
    return element("div", { class: "lab-row lab-note" }, this.link, this.clear, this.full);
  }

  controls() {
    const form = element("form", { class: "lab-controls", submit: (e) => e.preventDefault() });
    const group = (legend, ...children) =>
      element("fieldset", {}, element("legend", {}, legend), ...children);
    const fields = (...names) =>
      element("div", { class: "lab-fields" }, ...names.map((name) => this.field(name)));
    this.inputs = {};
    form.append(
      group("D is trained by", ...TERMS.slice(0, 4).map((term) => this.term(term))),
      group("G is trained by", ...TERMS.slice(4).map((term) => this.term(term))),
      group("Changed during the game", fields("class_weight", "objective", "g_learning_rate",
        "d_learning_rate", "batch_size")),
      group("Starts a new game", fields(...ANEW)),
    );
    return form;
  }

  term(name) {
    const [words, color, dash] = WORDS[name];
    const box = element("input", { type: "checkbox", name, change: () => this.change() });
    const value = element("span", { class: "lab-value", "data-term": name });
    this.inputs[name] = box;
    const text = element("span", {}, element("code", {}, name), element("small", {}, words));
    const label = element("label", {}, box, stroke(color, dash), text);
    return element("div", { class: "lab-term" }, label, value);
  }

  field(name) {
    const choices = { data: DATA, classes: {}, head: HEADS, objective: G_SOURCE };
    const options = name in choices && Object.keys(choices[name]);
    const [low, high, whole] = RANGES[name] ?? [];
    const input = options ? element("select", { name }) : element("input", {
      name, type: "number", min: low, max: high, step: whole ? 1 : "any", inputmode: "decimal" });
    const title = (value) => DATA[value]?.title ?? TITLES[value];
    input.append(...(options || []).map((value) => element("option", { value }, title(value))));
    input.addEventListener("change", () => this.change(name));
    this.inputs[name] = input;
    return element("label", {}, FIELDS[name], input);
  }

  curves() {
    const figure = (caption, label) => {
      const canvas = element("canvas", { role: "img", "aria-label": label });
      return [canvas, element("figure", {}, element("figcaption", {}, caption), canvas)];
    };
    const [terms, first] = figure("The terms, in nats (keys: the lines beside the boxes)",
      "Curves of the six loss terms over the steps");
    const captions = Object.values(SCORES).map(([words, color, dash]) =>
      element("span", { class: "lab-key" }, stroke(color, dash), words));
    const [shares, second] = figure(element("span", { class: "lab-row" }, ...captions),
      "Curves of the three shares over the steps");
    [this.term_canvas, this.share_canvas] = [terms, shares];
    return element("div", { class: "lab-curves" }, first, second);
  }

  /** Settings from the form; `name` is the field that changed. */
  change(name) {
    const value = (field) => this.inputs[field].value;
    const given = Object.fromEntries(Object.keys(FIELDS).map((field) => [field, value(field)]));
    if (name === "data") delete given.classes; // a drawing has those of its points
    if (name === "data" && given.data === "drawn" && this.drawn.labels.length) {
      given.classes = this.drawn_classes();
    }
    for (const field of Object.keys(RANGES)) if (given[field] === "") given[field] = this.settings[field];
    given.without = TERMS.filter((term) => !this.inputs[term].checked);
    this.settings = checked(given);
    if (name in RANGES) this.inputs[name].value = this.settings[name];
    if (name === "classes" && this.settings.data === "drawn") { // points of classes that are no more go
      this.drawn = from_link(to_link(this.settings, this.drawn)).drawn;
    }
    if (ANEW.includes(name)) this.restart();
    else this.show();
  }

  // ---- Drawing one's own data ----

  draw(event) {
    if (this.settings.data !== "drawn" || !(event.buttons & 1)) return;
    const { left, top, width } = this.plane.getBoundingClientRect();
    const at = (v) => ((2 * v) / width - 1) * VIEW;
    const [x, y] = [at(event.clientX - left), -at(event.clientY - top)];
    if (Math.max(Math.abs(x), Math.abs(y)) > VIEW) return; // a finger that has left the plane
    if (this.spot && Math.hypot(x - this.spot[0], y - this.spot[1]) < 0.03) return;
    this.cursor = [x, y];
    this.spot = [x, y];
    this.add_points(x, y, 2);
  }

  key(event) {
    if (this.settings.data !== "drawn") return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [dx, dy] = moves[event.key] ?? [0, 0], spot = [" ", "Enter"].includes(event.key);
    if (!dx && !dy && !spot) return;
    event.preventDefault();
    const inside = (v) => Math.min(1, Math.max(-1, v)), [x, y] = this.cursor ?? [0, 0];
    this.cursor = [inside(x + 0.05 * dx), inside(y + 0.05 * dy)];
    if (spot) this.add_points(x, y, 8);
    else this.show();
    const at = this.cursor.map((v) => v.toFixed(2)).join(", ");
    const { length } = this.drawn.labels, points = length < MOST_DRAWN ? `${length} points` : this.full.textContent;
    this.live.textContent = spot ? points : at;
  }

  add_points(x, y, wanted) {
    const { points, labels } = this.drawn, number = Math.min(wanted, MOST_DRAWN - labels.length);
    const near = (v) => Math.min(1, Math.max(-1, v + 0.12 * (Math.random() - 0.5)));
    const more = Array.from({ length: number }, () => [near(x), near(y)]).flat();
    if (!number) {
      this.live.textContent = this.full.textContent;
      return;
    }
    this.drawn = {
      points: Float64Array.from([...points, ...more]),
      labels: Int32Array.from([...labels, ...Array(number).fill(this.brush)]),
    };
    this.collect();
    if (!this.playing && this.state.step) this.measure();
    if (!this.playing) this.show();
  }

  erase() {
    this.drawn = from_link("drawn").drawn;
    this.restart();
  }

  // ---- What is shown ----

  show() {
    const { settings, state } = this, empty = !this.real.labels.length;
    const own = settings.data === "drawn", focused = document.activeElement === this.plane;
    draw_plane(this.plane, { ...state, settings }, this.fresh, state.step ? this.made : null,
      own && focused ? this.cursor : null);
    this.root.dataset.step = state.step;
    this.counter.textContent = `step ${count(state.step)}`;
    this.play_button.textContent = this.playing ? "Pause" : "Play";
    this.play_button.disabled = this.step_button.disabled = empty;
    for (const [name, output] of Object.entries(this.score_outputs)) {
      output.textContent = state.step && !empty ? percent(this.scores[name]) : "–";
    }
    this.plane.setAttribute("aria-label", this.description(empty));
    this.plane.classList.toggle("lab-drawing", own);
    this.plane.tabIndex = own ? 0 : -1;
    this.plane.setAttribute("role", own ? "application" : "img"); // the arrow keys are its own
    this.clear.hidden = !own;
    this.full.hidden = !own || this.drawn.labels.length < MOST_DRAWN;
    const link = `#lab=${to_link(settings, this.drawn)}`;
    this.link.setAttribute("href", (this.compact ? "lab.html" : "") + link);
    this.show_keys();
    if (!this.compact) this.show_form();
    if (!this.compact) this.show_curves();
    const mark = Math.floor(state.step / 2000); // a game makes some hundred steps a second
    if (mark > this.said) this.say();
    this.said = mark;
  }

  description(empty) {
    if (empty) return "An empty plane. Draw points with the pointer, or with arrow keys and Enter.";
    const { settings: { data, classes }, state: { step: number } } = this;
    const { title } = DATA[data];
    const start = `The plane with real points (${title}, ${classes} classes), D's answers`;
    if (!number) return `${start}, before the first step.`;
    const score = ([name, [text]]) => `${percent(this.scores[name])} ${text}`;
    const words = Object.entries(SCORES).map(score);
    return `${start}, and samples after ${count(number)} steps: ${words.join(", ")}.`;
  }

  say() {
    this.live.textContent = this.real.labels.length ? this.description() : "";
  }

  /** The classes; when one draws, a choice of the class that is drawn. */
  show_keys() {
    const { data, classes } = this.settings, own = data === "drawn", form = `${data} ${classes}`;
    if (this.keys.dataset.form === form) return;
    this.keys.dataset.form = form;
    this.brush = Math.min(this.brush, classes - 1);
    this.group ??= `lab-brush-${Math.random().toString(36).slice(2)}`;
    const keys = Array.from({ length: classes }, (_, k) => {
      const name = CLASS_NAMES[data]?.[k] ?? (own ? `draw class ${k}` : `class ${k}`);
      const radio = own ? [element("input", { type: "radio", name: this.group, value: k,
        checked: k === this.brush, change: () => { this.brush = k; } })] : [];
      return element(own ? "label" : "span", { class: "lab-key" }, ...radio, marker(k), name);
    });
    const bar = element("span", { class: "lab-bar" });
    const source = element("span", { class: "lab-key" }, "D: fake", bar, "real");
    this.keys.replaceChildren(...keys, source);
  }

  show_form() {
    const { inputs, settings, logs } = this, { classes } = DATA[settings.data];
    const options = [...classes].sort().map((k) => element("option", { value: k }, String(k)));
    if (inputs.classes.dataset.of !== settings.data) inputs.classes.replaceChildren(...options);
    inputs.classes.dataset.of = settings.data;
    for (const name of Object.keys(FIELDS)) {
      if (document.activeElement !== inputs[name] || inputs[name].tagName === "SELECT") {
        inputs[name].value = settings[name];
      }
    }
    for (const term of TERMS) {
      inputs[term].checked = !settings.without.includes(term);
      const output = this.root.querySelector(`[data-term=${term}]`);
      output.textContent = logs ? logs[term].toFixed(2) : "";
    }
  }

  show_curves() {
    const colors = theme(this.root), { curve, shares } = this;
    const values = curve.rows.flatMap((row) => TERMS.map((term) => row[term]));
    const top = Math.min(4, Math.ceil(Math.max(1, ...values)));
    const low = Math.max(-3, Math.floor(Math.min(0, ...values))), unit = top - low > 2 ? 1 : 0.5;
    const terms = { low, top, unit, format: String };
    draw_curves(this.term_canvas, curve.steps, curve.lines(WORDS, colors), terms);
    const parts = { low: 0, top: 1, unit: 0.25, format: percent };
    draw_curves(this.share_canvas, shares.steps, shares.lines(SCORES, colors), parts);
  }

  /** The game of the address, if it is another one, or if a link in the text asked for it. */
  follow() {
    const text = this.linked(), { asked } = this;
    this.asked = false;
    if (text === undefined) return;
    const other = text !== to_link(this.settings, this.drawn);
    if (!other && !asked) return;
    if (other) this.read(text);
    if (other || this.state.step) this.restart();
    this.root.scrollIntoView({ block: "start" });
  }

  /** Redrawn when its size or the theme changes; idle while it cannot be seen. */
  watch() {
    new ResizeObserver(() => this.show()).observe(this.plane);
    new MutationObserver(() => this.show()).observe(document.body, { attributeFilter: ["class"] });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.show());
    const seen = (entries) => { this.visible = entries.at(-1).isIntersecting; };
    new IntersectionObserver(seen).observe(this.root);
    window.addEventListener("hashchange", () => this.follow());
    document.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // for another tab
      const link = event.target.closest?.('a[href*="#lab="]');
      this.asked = Boolean(link) && link !== this.link;
      if (link?.href === location.href) this.follow(); // which changes no hash
    });
  }
}

/** A compact lab is built when it comes near the screen, the others at once. */
function start() {
  const built = (root) => root.lab ??= new Lab(root);
  const near = new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting)
    .forEach(({ target }) => { near.unobserve(target); built(target); }), { rootMargin: "400px" });
  for (const root of document.querySelectorAll(".acgan-lab")) {
    if ("compact" in root.dataset) near.observe(root);
    else built(root);
  }
}

window.acganLab = { step: (state) => plain(step(typed(state))) };
start();

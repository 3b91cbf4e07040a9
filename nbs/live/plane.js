// What is played on: data sets of the plane, batches, measures of samples, and settings as a link.

import { G_SOURCE, generate, HEADS, LATENT_DIM, TERMS } from "./game.js";
import { normal, random } from "./random.js";

const polar = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];
const around = (radius) => (c, t, K) => polar(radius, 2 * Math.PI * (c / K + 0.25));

/** By name: title, possible numbers of classes, scatter, the middle of class c at t in [0, 1). */
export const DATA = {
  ring: { title: "ring of blobs", classes: [2, 3, 4, 5, 6], scatter: 0.07, middle: around(0.7) },
  pinwheel: { title: "pinwheel", classes: [3, 2, 4, 5], scatter: 0.07, middle: arm },
  face: { title: "face", classes: [3], scatter: 0.04, middle: face },
  moons: { title: "two moons", classes: [2], scatter: 0.06, middle: moon },
  overlap: { title: "overlapping", classes: [3, 2, 4], scatter: 0.2, middle: around(0.32) },
  drawn: { title: "my own drawing", classes: [3, 2, 4, 5, 6], scatter: 0.04 },
};

function arm(c, t, K) {
  return polar(0.06 + 0.76 * t, (2 * Math.PI * c) / K + 1.4 * t);
}

function face(c, t) {
  if (c === 0) return polar(0.85, 2 * Math.PI * t); // outline, eyes, mouth
  return c === 1 ? [t < 0.5 ? -0.3 : 0.3, 0.3] : polar(0.5, Math.PI * (1.15 + 0.7 * t));
}

function moon(c, t) {
  const [x, y] = polar(0.55, Math.PI * (c + t)), side = c === 0 ? -1 : 1;
  return [x + 0.25 * side, y + 0.12 * side];
}

/** Points (count, 2) of a data set, and their classes (count,). */
export function real_points({ data, classes }, count, seed) {
  const uniform = random(seed, 2), { scatter, middle } = DATA[data];
  const points = new Float64Array(2 * count), labels = new Int32Array(count);
  for (let r = 0; r < count; r++) {
    labels[r] = Math.floor(classes * uniform());
    const [x, y] = middle(labels[r], uniform(), classes);
    points.set([x + scatter * normal(uniform), y + scatter * normal(uniform)], 2 * r);
  }
  return { points, labels };
}

/** Noise z (count, LATENT_DIM). */
function draw_latents(uniform, count) {
  return new Float64Array(count * LATENT_DIM).map(() => normal(uniform));
}

/** The batch of the next step: some of the real points, noise, and the classes to ask for. */
export function batch_of({ settings, step }, { points, labels }) {
  const uniform = random(settings.seed, 3, step), n = settings.batch_size;
  const chosen = new Int32Array(n).map(() => Math.floor(labels.length * uniform()));
  const real = new Float64Array(2 * n);
  chosen.forEach((i, r) => real.set(points.subarray(2 * i, 2 * i + 2), 2 * r));
  const fake_labels = chosen.map(() => Math.floor(settings.classes * uniform()));
  const real_labels = chosen.map((i) => labels[i]);
  return { real, real_labels, z: draw_latents(uniform, n), fake_labels };
}

/** Points (count, 2) of the averaged generator, always from the same noise, and their classes. */
export function samples({ ema_generator, settings: { classes } }, count) {
  const labels = Int32Array.from({ length: count }, (_, r) => r % classes);
  const z = draw_latents(random(4), count);
  return { points: generate(ema_generator, z, labels, classes).at(-1), labels };
}

/** For each point, the nearest of the `others` that `admits` it: its index and distance. */
function nearest({ points }, others, admits = () => true) {
  return Array.from({ length: points.length / 2 }, (_, r) => {
    let index = -1, least = Infinity;
    for (let i = 0; i < others.labels.length; i++) {
      const dx = points[2 * r] - others.points[2 * i];
      const dy = points[2 * r + 1] - others.points[2 * i + 1];
      const squared = dx * dx + dy * dy;
      if (squared < least && admits(r, i)) [index, least] = [i, squared];
    }
    return { index, distance: Math.sqrt(least) };
  });
}

/** How close is close, in this data set. */
export const reach_of = ({ data }) => 2.5 * Math.min(DATA[data].scatter, 0.07);

const share = (list, test) => list.filter(test).length / list.length;

/** Three shares. `class`: of samples whose nearest real point has the class asked for; `near`: of
 *  samples within `reach` of a real point; `covered`: of real points with a sample of their class
 *  within `reach`. */
export function scores(made, real, reach) {
  const found = nearest(made, real);
  const back = nearest(real, made, (r, i) => real.labels[r] === made.labels[i]);
  return {
    class: share(found, ({ index }, r) => real.labels[index] === made.labels[r]),
    near: share(found, ({ distance }) => distance < reach),
    covered: share(back, ({ distance }) => distance < reach),
  };
}

// ---- Settings: defaults, what is possible, and a link that carries them ----

export const DEFAULTS = {
  data: "ring", classes: 5, without: [], objective: "non_saturating", head: "acgan",
  class_weight: 1, g_learning_rate: 0.002, d_learning_rate: 0.002, batch_size: 100, seed: 0,
};
const CHOICES = { objective: Object.keys(G_SOURCE), head: Object.keys(HEADS) };
export const RANGES = { // lowest, highest, whether only whole numbers
  class_weight: [0, 10], g_learning_rate: [0, 0.05], d_learning_rate: [0, 0.05],
  batch_size: [10, 500, true], seed: [0, 999999, true],
};

/** Settings with every value that is not possible replaced by a possible one. */
export function checked(given) {
  const data = Object.hasOwn(DATA, given.data) ? given.data : DEFAULTS.data, { classes } = DATA[data];
  const preferred = data === DEFAULTS.data ? DEFAULTS.classes : classes[0];
  const settings = { ...DEFAULTS, data };
  settings.classes = classes.includes(Number(given.classes)) ? Number(given.classes) : preferred;
  settings.without = TERMS.filter((term) => (given.without ?? []).includes(term));
  for (const [name, values] of Object.entries(CHOICES)) {
    if (values.includes(given[name])) settings[name] = given[name];
  }
  for (const [name, [low, high, whole]] of Object.entries(RANGES)) {
    const value = Number(given[name] ?? NaN);
    if (!Number.isFinite(value)) continue;
    settings[name] = Math.min(high, Math.max(low, whole ? Math.round(value) : value));
  }
  return settings;
}

/** Settings as text, such as "pinwheel;without=source_real,class"; the defaults are left out. */
export function to_link(settings, drawn) {
  const usual = checked({ data: settings.data });
  const parts = Object.keys(usual).filter((name) => String(settings[name]) !== String(usual[name]));
  const text = [settings.data, ...parts.map((name) => `${name}=${settings[name]}`)];
  if (settings.data === "drawn" && drawn.labels.length) text.push(`points=${packed(drawn)}`);
  return text.join(";");
}

/** The settings and the drawn points of such a text. */
export function from_link(text) {
  const [data, ...parts] = text.split(";");
  const given = Object.fromEntries(parts.map((part) => part.split("=")));
  const settings = checked({ ...given, data, without: given.without?.split(",") });
  return { settings, drawn: unpacked(given.points ?? "", settings.classes) };
}

export const MOST_DRAWN = 500; // points
const GRID = 36 ** 2 - 1; // a coordinate is two digits of base 36, a point five: class, x, y

function packed({ points, labels }) {
  const two = (v) => Math.round(((v + 1) / 2) * GRID).toString(36).padStart(2, "0");
  const point = (label, i) => label + two(points[2 * i]) + two(points[2 * i + 1]);
  return Array.from(labels, point).join("");
}

function unpacked(text, classes) {
  const given = text.match(/[0-5][0-9a-z]{4}/g) ?? [];
  const found = given.filter((point) => point[0] < classes).slice(0, MOST_DRAWN);
  const number = (digits) => (2 * parseInt(digits, 36)) / GRID - 1;
  const points = found.flatMap((p) => [number(p.slice(1, 3)), number(p.slice(3, 5))]);
  return { points: Float64Array.from(points), labels: Int32Array.from(found, (p) => p[0]) };
}

// ---- A state as JSON, for tests ----

/** Lists of numbers as typed arrays. */
export function typed(x) {
  if (Array.isArray(x)) return typeof x[0] === "number" ? Float64Array.from(x) : x.map(typed);
  return x && typeof x === "object" ? mapped(x, typed) : x;
}

/** Typed arrays as lists. */
export function plain(x) {
  if (ArrayBuffer.isView(x)) return Array.from(x);
  if (Array.isArray(x)) return x.map(plain);
  return x && typeof x === "object" ? mapped(x, plain) : x;
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

// The AC-GAN game on points of the plane: the losses, the two objectives, and one step of both
// players. Mathematics only: no page, no library. Names are the paper's and those of `acgan_nb`.
// A matrix (n, width) is a flat Float64Array, row after row.

import { adam, backward, dense_network, forward, mixed } from "./network.js";
import { random } from "./random.js";

export const TERMS = ["source_real", "source_fake", "class_real", "class_fake", "source", "class"];
export const LATENT_DIM = 4;
export const HIDDEN = 32; // units in each of the two hidden layers of G and of D
const EMA = 0.99; // decay of the average of G's weights

// ---- Losses: the mean over the batch in nats, and its slopes by the logits ----

export const sigmoid = (s) => 1 / (1 + Math.exp(-s));
const softplus = (s) => Math.max(s, 0) + Math.log1p(Math.exp(-Math.abs(s)));
const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
const times = (weight, { value, slopes }) =>
  ({ value: weight * value, slopes: slopes.map((s) => weight * s) });
const plus = (a, b) =>
  ({ value: a.value + b.value, slopes: a.slopes.map((s, i) => s + b.slopes[i]) });

/** -E[log P(S|X)] from the logits (n,) of P(S=real|X); S=real if `real`, else S=fake. */
export function source_loss(logits, real) {
  const slopes = logits.map((s) => (sigmoid(s) - (real ? 1 : 0)) / logits.length);
  return { value: mean(logits.map((s) => softplus(real ? -s : s))), slopes };
}

/** -E[log P(C=label|X)] from the logits (n, k) of the k classes. */
export function class_loss(logits, labels) {
  const n = labels.length, k = logits.length / n, slopes = new Float64Array(n * k);
  let value = 0;
  for (let r = 0; r < n; r++) {
    const row = logits.subarray(r * k, (r + 1) * k), highest = Math.max(...row);
    const total = row.reduce((sum, l) => sum + Math.exp(l - highest), 0);
    value += (Math.log(total) + highest - row[labels[r]]) / n;
    row.forEach((l, j) => {
      slopes[r * k + j] = (Math.exp(l - highest) / total - (j === labels[r])) / n;
    });
  }
  return { value, slopes };
}

/** ADC-GAN's: logits (n, 2K), K answers "real, of class k", then K "generated, of class k". */
export function adc_loss(logits, labels, real) {
  const K = logits.length / labels.length / 2;
  return class_loss(logits, real ? labels : labels.map((label) => label + K));
}

function adc_generator_loss(logits, labels) {
  return plus(adc_loss(logits, labels, true), times(-1, adc_loss(logits, labels, false)));
}

/** What D's linear layer has beside the source logit, and the class terms made of it. */
export const HEADS = {
  acgan: { units: (K) => K, class_logits: (logits) => logits,
           d_term: (logits, labels, real) => class_loss(logits, labels), g_term: class_loss },
  adc: { units: (K) => 2 * K, class_logits: (logits, K) => real_or_fake(logits, K),
         d_term: adc_loss, g_term: adc_generator_loss },
};

/** ADC's logits (n, K) of "class k, real or generated": log(e^a + e^b) of its two logits. */
function real_or_fake(logits, K) {
  return new Float64Array(logits.length / 2).map((_, i) => {
    const j = 2 * K * Math.floor(i / K) + (i % K), a = logits[j], b = logits[j + K];
    return Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
  });
}

export const G_SOURCE = { // G's source term, from the source logits of generated points
  non_saturating: (logits) => source_loss(logits, true), // -E[log P(S=real|X_fake)]
  minimax: (logits) => times(-1, source_loss(logits, false)), // +E[log P(S=fake|X_fake)]
};

// ---- The objectives of the players ----

/** D's output (n, units + 1) as the logits of the classes (n, units) and of the source (n,). */
function split(output, n) {
  const units = output.length / n - 1;
  const answers = output.filter((_, i) => i % (units + 1) < units);
  return { answers, source: output.filter((_, i) => i % (units + 1) === units) };
}

/** Slopes by D's output, from those by its two parts: the inverse of `split`. */
function join(answers, source) {
  const n = source.length, units = answers.length / n;
  return new Float64Array(n * (units + 1)).map((_, i) => {
    const r = Math.floor(i / (units + 1)), j = i % (units + 1);
    return j < units ? answers[r * units + j] : source[r];
  });
}

/** D's answers on n points: source logits (n,), class logits (n, K), all `answers`, all values. */
export function discriminate({ settings, discriminator }, points, n) {
  const values = forward(discriminator, points, n), { answers, source } = split(values.at(-1), n);
  const class_logits = HEADS[settings.head].class_logits(answers, settings.classes);
  return { values, answers, source, class_logits };
}

/** How much a term counts: 0 if it is left out; the class terms have a weight. */
function weight_of(term, { without, class_weight }) {
  if (without.includes(term)) return 0;
  return term.startsWith("class") ? class_weight : 1;
}

/** -(L_S + L_C): the total and the four terms by themselves, each with its slopes. */
export function discriminator_loss(settings, real, fake, real_labels, fake_labels) {
  const { d_term } = HEADS[settings.head];
  const terms = {
    source_real: source_loss(real.source, true),
    source_fake: source_loss(fake.source, false),
    class_real: d_term(real.answers, real_labels, true),
    class_fake: d_term(fake.answers, fake_labels, false),
  };
  return total(terms, settings);
}

/** -(L_C - L_S) as far as it depends on G: the total and its two terms. */
export function generator_loss(settings, fake, fake_labels) {
  const source = G_SOURCE[settings.objective](fake.source);
  return total({ source, class: HEADS[settings.head].g_term(fake.answers, fake_labels) }, settings);
}

function total(terms, settings) {
  const slopes = {}, values = {};
  let loss = 0;
  for (const [name, term] of Object.entries(terms)) {
    const weighted = times(weight_of(name, settings), term);
    loss += weighted.value;
    [values[name], slopes[name]] = [term.value, weighted.slopes];
  }
  return { loss, values, slopes };
}

// ---- One step: D, then G, then the average of G ----

/** G's input (n, LATENT_DIM + K): the noise, and the class asked for as a one-hot vector. */
function told(z, labels, K) {
  const width = LATENT_DIM + K, input = new Float64Array(labels.length * width);
  labels.forEach((label, r) => {
    input.set(z.subarray(r * LATENT_DIM, (r + 1) * LATENT_DIM), r * width);
    input[r * width + LATENT_DIM + label] = 1;
  });
  return input;
}

/** The values of all layers of G for noise z and labels (n,); the last are points (n, 2). */
export function generate(weights, z, labels, K) {
  return forward(weights, told(z, labels, K), labels.length, "tanh");
}

/** A game before its first step. */
export function new_game(settings) {
  const { classes, seed, head } = settings, uniform = random(seed, 1);
  const generator = dense_network([LATENT_DIM + classes, HIDDEN, HIDDEN, 2], uniform);
  const discriminator = dense_network([2, HIDDEN, HIDDEN, HEADS[head].units(classes) + 1], uniform);
  const zeros = (weights) => weights.map((array) => new Float64Array(array.length));
  const fresh = (weights) => ({ m: zeros(weights), v: zeros(weights) });
  return { settings, step: 0, generator, discriminator, ema_generator: generator,
           g_optimizer: fresh(generator), d_optimizer: fresh(discriminator) };
}

/** One update of D: the state with its new weights, and what is logged. */
function update_discriminator(state, fake) {
  const { settings, batch: { real, real_labels, fake_labels } } = state;
  const on_real = discriminate(state, real, real_labels.length);
  const on_fake = discriminate(state, fake, fake_labels.length);
  const { loss, values, slopes } =
    discriminator_loss(settings, on_real, on_fake, real_labels, fake_labels);
  const pull = (on, answers, source) =>
    backward(state.discriminator, on.values, join(answers, source), source.length).weights;
  const by_real = pull(on_real, slopes.class_real, slopes.source_real);
  const by_fake = pull(on_fake, slopes.class_fake, slopes.source_fake);
  const gradients = by_real.map((array, i) => array.map((g, j) => g + by_fake[i][j]));
  const [discriminator, d_optimizer] = adam(
    state.discriminator, gradients, state.d_optimizer, state.step + 1, settings.d_learning_rate);
  const logs = {
    ...values, d_loss: loss, d_x: d_of(on_real), d_gz_before: d_of(on_fake),
    class_accuracy_real: class_accuracy(on_real, real_labels),
    class_accuracy_fake: class_accuracy(on_fake, fake_labels), d_gradient: global_norm(gradients),
  };
  return [{ ...state, discriminator, d_optimizer }, logs];
}

/** One update of G through D, from the `layers` with which G made its points. */
function update_generator(state, layers) {
  const { settings, batch: { fake_labels } } = state, n = fake_labels.length;
  const on_fake = discriminate(state, layers.at(-1), n);
  const { loss, values, slopes } = generator_loss(settings, on_fake, fake_labels);
  const by_output = join(slopes.class, slopes.source);
  const by_points = backward(state.discriminator, on_fake.values, by_output, n).input;
  const gradients = backward(state.generator, layers, by_points, n, "tanh").weights;
  const [generator, g_optimizer] = adam(
    state.generator, gradients, state.g_optimizer, state.step + 1, settings.g_learning_rate);
  const logs = { ...values, g_loss: loss, d_gz_after: d_of(on_fake) };
  return [{ ...state, generator, g_optimizer }, { ...logs, g_gradient: global_norm(gradients) }];
}

/** One step of a game with a `batch` {real, real_labels, z, fake_labels}: new state and logs. */
export function step(state) {
  const { settings, batch: { z, fake_labels } } = state, t = state.step + 1;
  const layers = generate(state.generator, z, fake_labels, settings.classes);
  const [with_new_d, d_logs] = update_discriminator(state, layers.at(-1));
  const [after, g_logs] = update_generator(with_new_d, layers);
  const decay = Math.min(EMA, (1 + t) / (10 + t));
  const ema_generator = mixed(decay, state.ema_generator, after.generator);
  return { state: { ...after, ema_generator, step: t }, logs: { ...d_logs, ...g_logs } };
}

const d_of = ({ source }) => mean(source.map(sigmoid)); // mean P(S=real|X)
const global_norm = (arrays) => Math.hypot(...arrays.map((array) => Math.hypot(...array)));

/** The class with the largest of the logits (n, K), for each row. */
export function predicted({ class_logits }, K) {
  return Int32Array.from({ length: class_logits.length / K }, (_, r) => {
    const row = class_logits.subarray(r * K, (r + 1) * K);
    return row.indexOf(Math.max(...row));
  });
}

function class_accuracy(on, labels) {
  const named = predicted(on, on.class_logits.length / labels.length);
  return mean(named.map((k, r) => (k === labels[r] ? 1 : 0)));
}

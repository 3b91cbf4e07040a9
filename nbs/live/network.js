// A network of dense layers, its back-propagation, and Adam. A matrix (n, width) is a flat
// Float64Array, row after row; `weights` is [kernel (fan_in, width), bias (width), kernel, ...].

const NEGATIVE_SLOPE = 0.2, BETA_1 = 0.5, BETA_2 = 0.999, EPSILON = 1e-8;

const ACTIVATIONS = { // the value y of x, in place, and a gradient by y turned into that by x
  leaky_relu: {
    apply(x) { for (let i = 0; i < x.length; i++) if (x[i] < 0) x[i] *= NEGATIVE_SLOPE; },
    pull(g, y) { for (let i = 0; i < g.length; i++) if (y[i] < 0) g[i] *= NEGATIVE_SLOPE; },
  },
  tanh: {
    apply(x) { for (let i = 0; i < x.length; i++) x[i] = Math.tanh(x[i]); },
    pull(g, y) { for (let i = 0; i < g.length; i++) g[i] *= 1 - y[i] * y[i]; },
  },
  linear: { apply() {}, pull() {} },
};

/** New weights of a network with layers of these widths: Glorot's uniform kernels, biases zero. */
export function dense_network(widths, uniform) {
  return widths.slice(1).flatMap((width, i) => {
    const limit = Math.sqrt(6 / (widths[i] + width));
    const kernel = new Float64Array(widths[i] * width).map(() => limit * (2 * uniform() - 1));
    return [kernel, new Float64Array(width)];
  });
}

/** The product of a (rows, inner) and b (inner, width). */
function matmul(a, b, rows, width) {
  const inner = b.length / width, y = new Float64Array(rows * width);
  const end = rows - 1;
  for (let r0 = 0; r0 < rows; r0 += 4) { // four rows at once: each number of b is read for all four
    const r1 = Math.min(r0 + 1, end), r2 = Math.min(r0 + 2, end), r3 = Math.min(r0 + 3, end);
    const a0 = r0 * inner, a1 = r1 * inner, a2 = r2 * inner, a3 = r3 * inner;
    for (let j = 0; j < width; j++) {
      let y0 = 0, y1 = 0, y2 = 0, y3 = 0;
      for (let i = 0, k = j; i < inner; i++, k += width) {
        const v = b[k];
        y0 += a[a0 + i] * v; y1 += a[a1 + i] * v; y2 += a[a2 + i] * v; y3 += a[a3 + i] * v;
      }
      y[r0 * width + j] = y0; y[r1 * width + j] = y1;
      y[r2 * width + j] = y2; y[r3 * width + j] = y3;
    }
  }
  return y;
}

/** (rows, width) turned into (width, rows). */
function transpose(a, width) {
  const rows = a.length / width, turned = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) turned[(i % width) * rows + Math.floor(i / width)] = a[i];
  return turned;
}

function column_sums(a, width) {
  const sums = new Float64Array(width);
  for (let i = 0; i < a.length; i++) sums[i % width] += a[i];
  return sums;
}

/** x (n, fan_in) times the kernel, plus the bias: (n, width). */
function dense(x, kernel, bias, n) {
  const width = bias.length, y = matmul(x, kernel, n, width);
  for (let i = 0; i < y.length; i++) y[i] += bias[i % width];
  return y;
}

/** The values of all layers for n rows of `input`; the last are the network's output. */
export function forward(weights, input, n, last = "linear") {
  const values = [input];
  for (let i = 0; i < weights.length; i += 2) {
    values.push(dense(values.at(-1), weights[i], weights[i + 1], n));
    ACTIVATIONS[i + 2 < weights.length ? "leaky_relu" : last].apply(values.at(-1));
  }
  return values;
}

/** Back-propagation: from a loss's `gradient` by the output to those by weights and by input. */
export function backward(weights, values, gradient, n, last = "linear") {
  const by_weights = [];
  for (let i = weights.length - 2; i >= 0; i -= 2) {
    const [x, y] = values.slice(i / 2), kernel = weights[i], width = weights[i + 1].length;
    const g = gradient.slice(), fan_in = kernel.length / width;
    ACTIVATIONS[i + 2 < weights.length ? "leaky_relu" : last].pull(g, y);
    by_weights.unshift(matmul(transpose(x, fan_in), g, fan_in, width), column_sums(g, width));
    gradient = matmul(g, transpose(kernel, width), n, fan_in);
  }
  return { weights: by_weights, input: gradient };
}

/** Adam: new weights and moments of step t = 1, 2, ... */
export function adam(weights, gradients, moments, t, learning_rate) {
  const rate = (learning_rate * Math.sqrt(1 - BETA_2 ** t)) / (1 - BETA_1 ** t);
  const m = mixed(BETA_1, moments.m, gradients);
  const v = mixed(BETA_2, moments.v, gradients.map((array) => array.map((g) => g * g)));
  const moved = weights.map((array, i) => array.map(
    (w, j) => w - (rate * m[i][j]) / (Math.sqrt(v[i][j]) + EPSILON)));
  return [moved, { m, v }];
}

/** decay * old + (1 - decay) * now, of lists of arrays. */
export function mixed(decay, old, now) {
  return old.map((array, i) => array.map((x, j) => x + (1 - decay) * (now[i][j] - x)));
}

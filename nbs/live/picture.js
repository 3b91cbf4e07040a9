// The pictures of the lab: the plane with D's answers, real points and samples; and curves.

import { discriminate, sigmoid } from "./game.js";

/** Okabe and Ito's colours, and a shape for each class: colours alone do not reach everyone. */
export const COLORS = ["#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#0072B2"];
export const SHAPES = [ // SVG paths about the origin, of about the same area
  "M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z", "M0 -1.25L1.15 0.8H-1.15Z", "M-.9 -.9H.9V.9H-.9Z",
  "M0 -1.3L1.1 0L0 1.3L-1.1 0Z", "M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
  "M0 1.25L1.15 -0.8H-1.15Z",
];
export const VIEW = 1.12; // the plane is shown from -VIEW to VIEW
const CELLS = 60; // of the landscape, along a side

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
const blend = (a, b, part) => a.map((v, i) => v + part * (b[i] - v));

/** Colours of the page's theme, from the style sheet. */
export function theme(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(["paper", "ink", "muted", "line", "fake", "real", "made"].map(
    (name) => [name, style.getPropertyValue(`--lab-${name}`).trim()]));
}

/** A canvas context in CSS pixels, sharp on any screen: [context, width, height]. */
export function prepared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}

const GRID = new Float64Array(2 * CELLS * CELLS).map((_, i) => {
  const cell = Math.floor(i / 2), at = (k) => ((2 * k + 1) / CELLS - 1) * VIEW;
  return i % 2 ? -at(Math.floor(cell / CELLS)) : at(cell % CELLS);
});

/** D's two answers over the plane: P(S=real|x), and P(C|x) of each class. */
function landscape(state) {
  const { source, class_logits } = discriminate(state, GRID, CELLS * CELLS);
  return { real: source.map(sigmoid), class_logits, K: state.settings.classes };
}

/** A colour per cell: a tint of the classes by P(C|x), dark where D takes points for fake. */
function painted({ real, class_logits, K }, colors) {
  const image = new ImageData(CELLS, CELLS), tints = COLORS.map(rgb);
  const [paper, dark] = [rgb(colors.paper), rgb(colors.fake)];
  for (let i = 0; i < real.length; i++) {
    const row = class_logits.subarray(i * K, (i + 1) * K), highest = Math.max(...row);
    const chances = row.map((l) => Math.exp(l - highest)), sum = chances.reduce((a, b) => a + b);
    const tint = [0, 1, 2].map((j) => chances.reduce((v, p, c) => v + p * tints[c][j], 0) / sum);
    const sure = Math.max(0, (1 / sum - 1 / K) / (1 - 1 / K));
    const color = blend(blend(paper, tint, 0.12 + 0.26 * sure), dark, 0.75 * (1 - real[i]) ** 2);
    image.data.set([...color, 255], 4 * i);
  }
  return image;
}

let buffer;

function draw_landscape(context, size, answers, colors) {
  buffer ??= Object.assign(document.createElement("canvas"), { width: CELLS, height: CELLS });
  buffer.getContext("2d").putImageData(painted(answers, colors), 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(buffer, 0, 0, size, size);
  draw_boundary(context, size, answers.real, colors);
}

/** The line P(S=real|x) = 1/2: where it crosses the edges of each square of four cells. */
function draw_boundary(context, size, real, colors) {
  const unit = size / CELLS, value = (x, y) => real[y * CELLS + x] - 0.5;
  const corners = [[0, 0], [1, 0], [1, 1], [0, 1]];
  context.beginPath();
  for (let y = 0; y < CELLS - 1; y++) for (let x = 0; x < CELLS - 1; x++) {
    const crossed = corners.flatMap(([dx, dy], i) => {
      const [ex, ey] = corners[(i + 1) % 4], a = value(x + dx, y + dy), b = value(x + ex, y + ey);
      if (a < 0 === b < 0) return [];
      const part = a / (a - b);
      return [[x + dx + part * (ex - dx) + 0.5, y + dy + part * (ey - dy) + 0.5]];
    });
    for (let i = 0; i + 1 < crossed.length; i += 2) {
      context.moveTo(crossed[i][0] * unit, crossed[i][1] * unit);
      context.lineTo(crossed[i + 1][0] * unit, crossed[i + 1][1] * unit);
    }
  }
  Object.assign(context, { strokeStyle: colors.muted, lineWidth: 1 });
  context.setLineDash([3, 3]);
  context.stroke();
  context.setLineDash([]);
}

function draw_points(context, size, { points, labels }, radius, outline, alpha) {
  const paths = SHAPES.map((shape) => new Path2D(shape)), at = (v) => ((v / VIEW + 1) * size) / 2;
  context.globalAlpha = alpha;
  labels.forEach((label, i) => {
    context.save();
    context.translate(at(points[2 * i]), at(-points[2 * i + 1]));
    context.scale(radius, radius);
    context.fillStyle = COLORS[label];
    if (outline) {
      Object.assign(context, { strokeStyle: outline, lineWidth: 1 / radius });
      context.stroke(paths[label]);
    }
    context.fill(paths[label]);
    context.restore();
  });
  context.globalAlpha = 1;
}

/** The plane: D's answers, real points small and pale, samples large, in the class asked for. */
export function draw_plane(canvas, state, real, made, cursor) {
  const [context, size] = prepared(canvas), colors = theme(canvas);
  draw_landscape(context, size, landscape(state), colors);
  draw_points(context, size, real, size / 210, null, 0.55);
  if (made) draw_points(context, size, made, size / 110, colors.paper, 0.95);
  if (cursor) {
    const [x, y] = [(cursor[0] / VIEW + 1) * size / 2, (1 - cursor[1] / VIEW) * size / 2];
    context.strokeStyle = colors.ink;
    context.strokeRect(x - 6, y - 6, 12, 12);
  }
}

/** Lines over the steps. `lines`: {values, color, dash}; the y axis goes from `low` to `top`. */
export function draw_curves(canvas, steps, lines, { low, top, unit, format }) {
  const [context, width, height] = prepared(canvas), colors = theme(canvas);
  const box = { left: 38, right: width - 8, top: 10, bottom: height - 22 };
  const end = Math.max(steps.at(-1) ?? 0, 100);
  const x = (step) => box.left + ((box.right - box.left) * step) / end;
  const y = (v) => box.bottom - ((box.bottom - box.top) * (Math.min(v, top) - low)) / (top - low);
  draw_axes(context, box, end, { x, y, low, top, unit, format, colors });
  context.save();
  context.beginPath();
  context.rect(box.left, box.top - 2, box.right - box.left, box.bottom - box.top + 4);
  context.clip();
  for (const { values, color, dash } of lines) {
    Object.assign(context, { strokeStyle: color, lineWidth: 1.6, lineJoin: "round" });
    context.setLineDash(dash);
    context.beginPath();
    values.forEach((v, i) => context.lineTo(x(steps[i]), y(v)));
    context.stroke();
  }
  context.restore();
}

function draw_axes(context, box, end, { x, y, low, top, unit, format, colors }) {
  Object.assign(context, { font: "11px system-ui, sans-serif", lineWidth: 1 });
  Object.assign(context, { strokeStyle: colors.line, fillStyle: colors.muted });
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.beginPath();
  for (let v = low; v <= top + 1e-9; v += unit) {
    context.moveTo(box.left, Math.round(y(v)) + 0.5);
    context.lineTo(box.right, Math.round(y(v)) + 0.5);
    context.fillText(format(v), box.left - 6, y(v));
  }
  context.stroke();
  context.textBaseline = "alphabetic";
  for (const [step, align] of [[0, "left"], [end / 2, "center"], [end, "right"]]) {
    context.textAlign = align;
    const text = Math.round(step).toLocaleString("en");
    context.fillText(step === end ? `${text} steps` : text, x(step), box.bottom + 16);
  }
}

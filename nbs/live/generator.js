// A trained generator in the page: `<div class="acgan-generator" data-model="mnist" ...></div>`
// with this script right below it, so that the page never jumps.
//
// data-model     folder of model.onnx, model.json and poster.png, relative to this file
// data-classes   names of the classes, a JSON list
// data-size      what the first click loads, such as "20 MB"
//
// Nothing but the poster is loaded before the first click. `acgan demo` writes all the files.
"use strict";

(() => {
  if (window.acganBuild) return window.acganBuild(); // the script stands below each generator
  const HERE = new URL(".", document.currentScript.src);
  const DIRECTIONS = 5; // sliders; their directions are in model.json
  const REACH = 4; // of a slider, along a unit direction of z
  const UNTRUNCATED = 3; // right end of the truncation slider
  const WALK_MS = 2600; // from one latent to the next
  const STEPS = 10; // still images of a walk, where motion is reduced

  // ---- Normal distribution ----

  /** P(Z <= x) of a standard normal Z: the series x + x^3/3 + x^5/15 + ... times the density. */
  function normalCdf(x) {
    if (Math.abs(x) > 8) return x > 0 ? 1 : 0;
    let term = x, sum = x;
    for (let n = 3; Math.abs(term) > 1e-17; n += 2) sum += term *= (x * x) / n;
    return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  }

  /** The x with normalCdf(x) = p, by bisection between -8 and 8. */
  function normalQuantile(p) {
    let low = -8, high = 8;
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (normalCdf(middle) < p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  /** z of N(0, I), mapped to N(0, I) conditioned on |z_i| <= limit, as `draw_latents` does. */
  function truncated(z, limit) {
    const low = normalCdf(-limit), high = normalCdf(limit);
    return z.map((x) => normalQuantile(low + (high - low) * normalCdf(x)));
  }

  /** `size` numbers of N(0, 1) by Box and Muller, or of U(-1, 1). */
  function drawLatent(size, latent) {
    const uniform = () => 1 - Math.random();
    const one = latent === "uniform"
      ? () => 2 * Math.random() - 1
      : () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * Math.random());
    return Float64Array.from({ length: size }, one);
  }

  /** From `start` (t = 0) to `end` (t = 1) on an arc. */
  function slerp(start, end, t) {
    const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
    const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
    const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
    const [a, b] = Math.sin(angle) < 1e-6
      ? [1 - t, t]
      : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
    return start.map((x, i) => a * x + b * end[i]);
  }

  // ---- The model ----

  /** The bytes of a file; `progress` is told how many have come. */
  async function read(url, progress) {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`${url.pathname} is missing (${answer.status})`);
    const parts = [], reader = answer.body.getReader();
    for (let part; !(part = await reader.read()).done; ) {
      parts.push(part.value);
      progress(part.value.length);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  }

  let runtime, ready = false, failures = 0, bytesOfRuntime = 0; // one for all generators of a page
  const listeners = new Set(); // those who wait for its bytes

  function loadRuntime() {
    runtime ??= (async () => {
      const folder = new URL("runtime/", HERE);
      bytesOfRuntime = 0;
      const again = failures ? `?${failures}` : ""; // browsers remember an import that failed
      const ort = await import(new URL(`ort.js${again}`, folder));
      ort.env.wasm.numThreads = 1;
      ort.env.wasm.wasmBinary = await read(new URL("ort.wasm", folder), (bytes) => {
        bytesOfRuntime += bytes;
        listeners.forEach((tell) => tell());
      });
      ready = true;
      return ort;
    })();
    runtime.catch(() => { runtime = undefined; failures++; }); // so that the next click tries again
    return runtime;
  }

  /** Pixels 0..255 of floats in [-1, 1], rounded to the nearest and ties to even, as `to_pixels`. */
  function toPixels(images) {
    const scaled = images.map((x) => Math.fround(x + 1) * 127.5); // of a Float32Array: float32
    return new Uint8Array(Uint8ClampedArray.from(scaled).buffer);
  }

  class Generator {
    constructor(folder) {
      this.folder = folder;
      this.last = Promise.resolve();
    }

    /** What model.json says, and a session; `progress(bytes, total)` while they are loaded. */
    load(progress = () => {}) {
      this.loaded ??= this.fetch(progress);
      this.loaded.catch(() => { this.loaded = undefined; });
      return this.loaded;
    }

    async fetch(progress) {
      const answer = await fetch(new URL("model.json", this.folder));
      if (!answer.ok) throw new Error(`${answer.url} is missing (${answer.status})`);
      this.about = await answer.json();
      const fresh = !ready, total = this.about.bytes + (fresh ? this.about.runtime_bytes : 0);
      let own = 0;
      const tell = () => progress(own + (fresh ? bytesOfRuntime : 0), total);
      const more = (bytes) => { own += bytes; if (listeners.has(tell)) tell(); };
      listeners.add(tell);
      try {
        const parts = [loadRuntime(), read(new URL("model.onnx", this.folder), more)];
        const [ort, model] = await Promise.all(parts);
        this.ort = ort;
        this.session = await ort.InferenceSession.create(model);
      } finally {
        listeners.delete(tell); // after a failure the rest of a file may still come
      }
    }

    /** As `Widget.sample`. */
    sample(z, labels) {
      this.last = this.last.catch(() => {}).then(async () => { // one run at a time
        await this.load();
        const n = labels.length, size = this.about.latent_dim;
        if (z.length !== n * size) throw new Error(`${n} labels go with ${n * size} numbers in z`);
        const { images } = await this.session.run({
          z: new this.ort.Tensor("float32", Float32Array.from(z), [n, size]),
          labels: new this.ort.Tensor("int32", Int32Array.from(labels), [n]),
        });
        return toPixels(images.data);
      });
      return this.last;
    }
  }

  // ---- The page ----

  /** An element with attributes and children: `make("button", { class: "x" }, "text")`. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }

  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  const signed = (x) => (x > 0 ? "+" : x < 0 ? "−" : "") + Math.abs(x).toFixed(1);
  let count = 0;

  class Widget {
    constructor(root) {
      this.id = `acgan-${++count}`;
      this.name = decodeURIComponent(root.dataset.model.replace(/\/$/, "").split("/").pop());
      this.folder = new URL(root.dataset.model.replace(/\/?$/, "/"), HERE);
      this.generator = new Generator(this.folder);
      this.classes = JSON.parse(root.dataset.classes);
      this.label = 0;
      this.shifts = new Array(DIRECTIONS).fill(0);
      this.limit = UNTRUNCATED;
      this.build(root, root.dataset.size);
    }

    build(root, size) {
      this.root = root;
      this.image = make("canvas", { class: "ag-image", hidden: true, role: "img", "aria-label": "Generated image" });
      this.poster = make("img", {
        class: "ag-poster", src: new URL("poster.png", this.folder),
        alt: `Generated images of ${this.name}: a class per column, a style per row`, width: 400, height: 400,
      });
      this.start = make("button", { type: "button", class: "ag-start", onclick: () => this.another() });
      this.start.append(make("strong", {}, "Start"), make("span", {}, `loads ${size} once`));
      this.bar = make("progress", { class: "ag-progress", hidden: true, "aria-label": "Loading" });
      this.status = make("span", { role: "status" });
      this.timing = make("span"); // changes at every image, so it is not read out
      const line = make("p", { class: "ag-status" }, this.status, this.timing);
      const stage = make("div", { class: "ag-stage" }, this.poster, this.image, this.start, this.bar);
      const row = { class: "ag-row", role: "img", "aria-label": this.title() };
      this.row = make("canvas", { ...row, onclick: (e) => this.pick(e) });
      this.row.style.aspectRatio = `${this.shown()} / 1`;
      this.row.style.backgroundImage = `url("${this.poster.src}")`; // its first row, until there is more
      this.rowTitle = make("p", { class: "ag-title" }, this.title());
      root.replaceChildren(
        make("div", { class: "ag-top" }, make("div", { class: "ag-left" }, stage, line),
          make("div", { class: "ag-controls" }, this.classButtons(), this.sliders(), this.actions())),
        make("div", { class: "ag-bottom" }, this.rowTitle, this.row),
      );
      new IntersectionObserver((seen) => { if (!seen.at(-1).isIntersecting) this.stop(); }).observe(root); // no walk unseen
    }

    shown() { return Math.min(this.classes.length, 10); }

    title() {
      const names = ["", "One class", "Two classes", "Three classes", "Four classes", "Five classes",
        "Six classes", "Seven classes", "Eight classes", "Nine classes", "Ten classes"];
      return `${names[this.shown()]}, one style`;
    }

    classButtons() {
      this.buttons = this.classes.map((name, k) => make("button", {
        type: "button", class: "ag-class", "aria-pressed": String(k === this.label),
        onclick: () => this.choose(k),
      }, name));
      const legend = make("legend", {}, "Class");
      const short = this.classes.every((name) => name.length < 4);
      const list = make("div", { class: short ? "ag-list ag-short" : "ag-list" }, ...this.buttons);
      return make("fieldset", {}, legend, list);
    }

    slider(text, options, change) {
      const id = `${this.id}-${text.replace(/\W+/g, "-").toLowerCase()}`;
      const value = make("span", { class: "ag-value", "aria-hidden": "true" }); // the input says it
      const input = make("input", { type: "range", id, ...options });
      const say = () => {
        value.textContent = change(Number(input.value));
        input.setAttribute("aria-valuetext", value.textContent);
      };
      input.addEventListener("input", () => { say(); this.refresh(); });
      input.reset = () => { input.value = options.value; say(); };
      say();
      this.inputs.push(input);
      return make("div", { class: "ag-slider" }, make("label", { for: id }, text), input, value);
    }

    sliders() {
      this.inputs = [];
      const shift = { min: -REACH, max: REACH, step: 0.1, value: 0 };
      const directions = this.shifts.map((_, i) => this.slider(`Direction ${i + 1}`, shift, (x) => {
        this.shifts[i] = x;
        return signed(x);
      }));
      const limit = { min: 0.1, max: UNTRUNCATED, step: 0.1, value: UNTRUNCATED };
      this.truncation = this.slider("Truncation", limit, (x) => {
        this.limit = x;
        return x < UNTRUNCATED ? `±${x.toFixed(1)}` : "none";
      });
      const legend = make("legend", {}, "Latent vector z");
      return make("fieldset", { class: "ag-sliders" }, legend, ...directions, this.truncation);
    }

    actions() {
      const button = (text, onclick) => make("button", { type: "button", class: "ag-action", onclick }, text);
      this.walkButton = button("Walk", () => this.walk());
      this.walkButton.setAttribute("aria-pressed", "false");
      const another = button("Another", () => this.another());
      another.classList.add("ag-main");
      this.anotherButton = another;
      return make("div", { class: "ag-actions" }, another, this.walkButton,
        button("Reset", () => this.reset()), button("Download PNG", () => this.download()));
    }

    // -- what the controls do --

    choose(k) {
      this.label = k;
      this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === k)));
      this.refresh();
    }

    pick(event) {
      const box = this.row.getBoundingClientRect();
      if (this.base && !this.still) this.choose(Math.floor(((event.clientX - box.left) / box.width) * this.shown()));
    }

    another() {
      this.stop();
      this.base = undefined;
      return this.refresh();
    }

    reset() {
      this.inputs.forEach((input) => input.reset());
      this.refresh();
    }

    walk() {
      if (this.walking) return this.stop();
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.refresh(true);
      this.walkButton.setAttribute("aria-pressed", "true");
      const way = this.walking = { begin: undefined };
      const frame = async (now) => {
        if (this.walking !== way) return;
        if (way.begin === undefined || now - way.begin >= WALK_MS) {
          if (way.begin === undefined) this.pace = 0; // measured anew: the first image is slower
          way.from = way.to ?? this.base, way.to = this.draw(), way.begin = now;
        }
        const t = (now - way.begin) / WALK_MS;
        this.base = slerp(way.from, way.to, t * t * (3 - 2 * t));
        await this.refresh();
        requestAnimationFrame(frame);
      };
      this.refresh().then(() => requestAnimationFrame(frame));
    }

    stop() {
      if (!this.walking) return;
      this.walking = undefined;
      this.walkButton.setAttribute("aria-pressed", "false");
      this.refresh();
    }

    download() {
      return (this.image.hidden ? this.refresh() : this.busy ?? Promise.resolve()).then(() => {
        if (this.image.hidden) return; // nothing could be loaded
        const scale = Math.max(1, Math.round(256 / this.image.width));
        const big = make("canvas", { width: this.image.width * scale, height: this.image.height * scale });
        const context = big.getContext("2d");
        context.imageSmoothingEnabled = false;
        context.drawImage(this.image, 0, 0, big.width, big.height);
        const name = this.classes[this.label].replace(/[^\w-]+/g, "_");
        make("a", { href: big.toDataURL("image/png"), download: `${this.name}_${name}.png` }).click();
      });
    }

    // -- from the state to the canvas --

    /** Flat latents (n * latent_dim) and n class ids -> a promise of pixels (n * H * W * C). */
    sample(z, labels) { return this.generator.sample(z, labels); }

    draw() {
      return drawLatent(this.generator.about.latent_dim, this.generator.about.latent);
    }

    /** The latent vector of the state: the base, truncated, and moved along the directions. */
    latent(base = this.base) {
      const { directions, latent } = this.generator.about;
      const z = latent === "normal" && this.limit < UNTRUNCATED ? truncated(base, this.limit) : base.slice();
      this.shifts.forEach((shift, i) => {
        if (shift && directions[i]) directions[i].forEach((v, j) => { z[j] += shift * v; });
      });
      return z;
    }

    /** Show the present state; while images are made, later calls wait for one more round. */
    refresh(still = false) {
      this.still = still;
      if (this.busy) {
        this.again = true;
        return this.busy;
      }
      this.busy = (async () => {
        try {
          await this.ready();
          do {
            this.again = false;
            await this.show();
          } while (this.again);
        } catch (error) {
          this.fail(error);
        } finally {
          this.busy = undefined;
        }
      })();
      return this.busy;
    }

    async ready() {
      if (!this.generator.session) {
        if (document.activeElement === this.start) this.anotherButton.focus({ preventScroll: true });
        this.start.hidden = true;
        this.bar.hidden = false;
        this.root.classList.remove("ag-failed");
        this.say("Loading …");
        await this.generator.load((bytes, total) => {
          if (this.bar.hidden) return; // something else has failed
          this.bar.max = total;
          this.bar.value = bytes;
          this.say(`Loading ${megabytes(total)} …`);
        });
        this.bar.hidden = true;
        this.say("");
        this.truncation.hidden = this.generator.about.latent !== "normal";
        const directions = this.generator.about.directions.length;
        this.inputs.slice(0, DIRECTIONS).forEach((input, i) => { input.parentElement.hidden = i >= directions; });
      }
    }

    fail(error) {
      this.stop();
      this.bar.hidden = true;
      this.start.hidden = !this.image.hidden;
      const why = error?.message ?? `error ${error} of ONNX Runtime`; // which may throw a number
      const hint = location.protocol === "file:" ? "it needs a web server, such as python -m http.server" : why;
      this.say(`This did not work: ${hint}`);
      this.root.classList.add("ag-failed");
    }

    say(text) {
      if (this.status.textContent !== text) this.status.textContent = text;
    }

    async show() {
      this.base ??= this.draw(); // anew after "Another", whenever that was
      const z = this.latent(), n = this.shown(), label = this.label, begin = performance.now();
      const quick = this.walking && this.pace > 80; // then a walk shows one image only
      const rows = this.still ? this.stills(STEPS) : new Array(quick ? 0 : n).fill(z);
      const labels = rows.map((_, k) => (this.still ? label : k));
      const all = [...rows.flatMap((row) => [...row]), ...z];
      const pixels = await this.generator.sample(all, [...labels, label]);
      const [h, w, c] = this.generator.about.image_shape, size = h * w * c, count = rows.length;
      const parts = rows.map((_, i) => pixels.subarray(i * size, (i + 1) * size));
      if (!quick) this.paint(this.row, parts);
      if (!quick) this.row.style.aspectRatio = `${count * w} / ${h}`;
      this.row.classList.toggle("ag-stale", Boolean(quick));
      this.paint(this.image, [pixels.subarray(count * size)]);
      this.image.setAttribute("aria-label", `Generated image of class ${this.classes[label]}`);
      this.poster.hidden = this.start.hidden = true;
      this.image.hidden = false;
      this.root.classList.remove("ag-failed");
      this.say("");
      if (quick) return;
      this.pace = performance.now() - begin;
      this.describe(count);
    }

    describe(count) {
      const name = this.classes[this.label];
      const title = this.still ? `A walk from one latent vector to another, ${name}` : this.title();
      this.rowTitle.textContent = title;
      this.row.setAttribute("aria-label", this.still ? title : `${title}: ${this.classes.slice(0, count).join(", ")}`);
      this.timing.textContent = `${count + 1} images in ${Math.round(this.pace)} ms, on this device`;
    }

    /** Latents of a walk from the present base to a new one. */
    stills(steps) {
      const end = this.draw();
      return Array.from({ length: steps }, (_, i) => this.latent(slerp(this.base, end, i / (steps - 1))));
    }

    /** Pixels of images side by side, in the resolution of the generator. */
    paint(canvas, images) {
      const [h, w, c] = this.generator.about.image_shape;
      if (canvas.width !== w * images.length || canvas.height !== h) {
        canvas.width = w * images.length;
        canvas.height = h;
      }
      const context = canvas.getContext("2d");
      images.forEach((pixels, i) => {
        const data = new ImageData(w, h);
        for (let p = 0; p < w * h; p++) {
          for (let k = 0; k < 3; k++) data.data[4 * p + k] = pixels[p * c + (c === 3 ? k : 0)];
          data.data[4 * p + 3] = 255;
        }
        context.putImageData(data, i * w, 0);
      });
    }
  }

  window.acganBuild = () => {
    for (const root of document.querySelectorAll(".acgan-generator:not([data-ready])")) {
      root.dataset.ready = "";
      root.acgan = new Widget(root);
      window.acgan ??= root.acgan; // the first generator on the page
    }
  };
  window.acganBuild();
})();

// The player: one canvas that draws a trajectory token by token. Mouse, keyboard, scrubbing; it never asks the server.
window.grpo.Player = class Player {
  // root: an element to fill. onstep(t, trajectory): after every change. buttons: show the transport.
  constructor(root, { onstep = () => {}, buttons = true, label = "The sample being drawn" } = {}) {
    const { make } = window.grpo;
    this.onstep = onstep;
    this.t = 0;
    this.clock = 0;
    this.speed = 1;
    this.playing = false;
    this.pointed = null; // the token under the pointer
    this.canvas = make("canvas", { class: "picture", width: 560, height: 560, role: "img", "aria-label": label });
    this.detail = make("p", { class: "detail" }, "\u00a0");
    root.replaceChildren(this.canvas);
    root.classList.add("player");
    if (!buttons) return;
    const button = (text, name, act) => make("button", { type: "button", "aria-label": name, title: name, onclick: act }, text);
    this.toggle = button("Play", "Play or pause (space)", () => this.play(!this.playing));
    this.toggle.classList.add("play");
    this.scrub = make("input", { type: "range", class: "scrub", min: 0, max: 64, value: 0, "aria-label": "Tokens drawn" });
    this.scrub.addEventListener("input", () => { this.play(false); this.seek(Number(this.scrub.value)); });
    this.where = make("span", { class: "where" }, "\u00a0");
    const speed = make("select", { class: "speed", "aria-label": "Speed" },
      ...[0.25, 0.5, 1, 2, 4, 8].map((k) => make("option", { value: k, selected: k === 1 }, `${k < 1 ? `1/${1 / k}` : k}\u00d7`)));
    speed.addEventListener("change", () => { this.speed = Number(speed.value); });
    const row = (sign) => () => { this.play(false); this.row(sign); };
    const one = (sign) => () => { this.play(false); this.seek(this.t + sign); };
    root.append(
      make("div", { class: "transport" }, button("\u21e4", "One row back (up)", row(-1)), button("\u2039", "One token back (left)", one(-1)),
        this.toggle, button("\u203a", "One token on (right)", one(1)), button("\u21e5", "One row on (down)", row(1)), speed),
      make("div", { class: "transport" }, this.scrub, this.where), this.detail);
    root.tabIndex = 0;
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Player: space plays, left and right move one token, up and down one row, 0 starts again");
    root.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => { this.pointed = null; this.tell(this.t); });
  }

  load(path) {
    const { bytes, still } = window.grpo;
    this.path = path;
    this.pointed = null; // another picture may have fewer tokens
    this.length = path.log_probs.length;
    this.frames = bytes(path.frames);
    this.tokens = bytes(path.tokens);
    this.values = bytes(path.values);
    this.probs = bytes(path.probs);
    this.reference = bytes(path.reference_probs);
    this.belief = bytes(path.belief);
    if (this.scrub) this.scrub.max = this.length;
    if (path.colour) this.canvas.style.setProperty("--policy", path.colour);
    const motion = !still.matches && !window.grpo.state.presenter;
    this.seek(motion ? 0 : this.length);
    this.play(motion);
  }

  play(on) {
    this.playing = on && !!this.path;
    if (this.playing && this.t >= this.length) this.seek(0);
    this.clock = this.t;
    if (this.toggle) this.toggle.textContent = this.playing ? "Pause" : "Play";
    if (!this.playing || this.ticking) return;
    this.ticking = true;
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing || !this.canvas.isConnected) { this.ticking = false; return; }
      this.clock += (now - before) / 1000 * this.speed * this.length / 7; // a picture in seven seconds
      before = now;
      const t = Math.min(this.length, Math.floor(this.clock));
      if (t !== this.t) this.seek(t);
      if (t >= this.length) { this.ticking = false; this.play(false); return; }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  row(sign) {
    const grid = this.path.grid;
    this.seek(sign > 0 ? (Math.floor(this.t / grid) + 1) * grid : (Math.ceil(this.t / grid) - 1) * grid);
  }

  seek(t) {
    if (!this.path) return;
    this.t = Math.max(0, Math.min(this.length, t));
    this.draw();
    if (this.scrub) {
      this.scrub.value = this.t;
      this.where.textContent = `${this.t} / ${this.length}`;
      if (this.playing && this.pointed !== null) this.tell(this.pointed, true); // the text stays with the pointer
      else this.tell(this.t);
    }
    this.onstep(this.t, this);
  }

  key(event) {
    if (event.target instanceof HTMLSelectElement) return;
    const moves = { ArrowLeft: () => this.seek(this.t - 1), ArrowRight: () => this.seek(this.t + 1), ArrowDown: () => this.row(1),
      ArrowUp: () => this.row(-1), Home: () => this.seek(0), End: () => this.seek(this.length), 0: () => this.seek(0) };
    if (event.key === " " && !(event.target instanceof HTMLButtonElement)) this.play(!this.playing);
    else if (moves[event.key] && this.path) { this.play(false); moves[event.key](); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { canvas, path, t } = this;
    const { size, grid } = path;
    const context = canvas.getContext("2d");
    const cell = canvas.width / size;
    const patch = canvas.width / grid;
    const frame = this.frames.subarray(t * size * size, (t + 1) * size * size);
    for (let i = 0; i < size * size; i++) {
      const value = frame[i];
      context.fillStyle = `rgb(${value},${value},${value})`;
      context.fillRect(Math.floor(i % size * cell), Math.floor(Math.floor(i / size) * cell), Math.ceil(cell), Math.ceil(cell));
    }
    for (let k = t; k < this.length; k++) { // not drawn yet
      context.fillStyle = (k + Math.floor(k / grid)) % 2 ? "rgba(29,42,58,0.93)" : "rgba(35,50,68,0.93)";
      context.fillRect(k % grid * patch, Math.floor(k / grid) * patch, patch, patch);
    }
    if (t < this.length) {
      context.strokeStyle = "#F0E442";
      context.lineWidth = 5;
      context.strokeRect(t % grid * patch + 2.5, Math.floor(t / grid) * patch + 2.5, patch - 5, patch - 5);
    }
  }

  hover(event) {
    if (!this.path) return;
    const box = this.canvas.getBoundingClientRect();
    const { grid } = this.path;
    const column = Math.floor((event.clientX - box.left) / box.width * grid);
    const row = Math.floor((event.clientY - box.top) / box.height * grid);
    if (column >= 0 && row >= 0 && column < grid && row < grid) this.tell(this.pointed = row * grid + column, true);
  }

  // What is known of token k: its value, its probability, its log-probability under the reference.
  tell(k, always = false) {
    if (!this.detail || !this.path) return;
    const { grid, log_probs, reference, vocabulary, reward, read, index } = this.path;
    if (k >= this.length || (always && k >= this.t)) {
      this.detail.textContent = k >= this.length
        ? `Sample ${index + 1}: reward ${reward.toFixed(3)}, the judge reads ${read}.` : `Row ${Math.floor(k / grid) + 1}, column ${k % grid + 1}: not drawn yet.`;
      return;
    }
    const place = `Row ${Math.floor(k / grid) + 1}, column ${k % grid + 1}`;
    const value = this.path.size === grid ? `level ${this.tokens[k]} of ${vocabulary - 1}` : `code ${this.tokens[k]} of ${vocabulary}`;
    const chance = Math.exp(log_probs[k]);
    this.detail.textContent = `${place}: ${value}, probability ${chance < 0.01 ? chance.toExponential(0) : chance.toFixed(2)}, ` +
      `log p ${window.grpo.figure(log_probs[k])}, under the reference ${window.grpo.figure(reference[k])}`;
  }

  // What the charts beside the canvas need of the token in hand.
  token(t) {
    const k = Math.min(t, this.length - 1);
    const { bars, vocabulary, grid, size } = this.path;
    const part = (all) => Array.from(all.subarray(k * bars, (k + 1) * bars));
    return { values: part(this.values), probs: part(this.probs).map((p) => p / 255), reference: part(this.reference).map((p) => p / 255),
      chosen: this.tokens[k], vocabulary, codes: size !== grid };
  }

  beliefAt(t) {
    return Array.from(this.belief.subarray(10 * t, 10 * t + 10)).map((p) => p / 255);
  }
};

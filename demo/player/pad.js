// A pad to draw on with mouse or finger, 28 x 28, paper black and ink white like MNIST.
window.grpo.Pad = class Pad {
  // onchange(rows): after each stroke. rows: 28 lists of 28 numbers from 0 to 1.
  constructor(root, { onchange, label }) {
    const { make } = window.grpo;
    this.size = 28;
    this.values = new Float32Array(this.size * this.size);
    this.canvas = make("canvas", { class: "pad", width: 560, height: 560, role: "img", tabindex: 0,
      "aria-label": `${label}. Draw with mouse or finger; with the keyboard, arrows move the pen, space puts ink, Delete clears.` });
    this.onchange = onchange;
    this.given = this.size; // rows that count
    this.pen = [14, 7];
    root.replaceChildren(this.canvas);
    let last = null;
    const place = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width * this.size, (event.clientY - box.top) / box.height * this.size];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.canvas.setPointerCapture(event.pointerId);
      last = place(event);
      this.ink(last, last);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = place(event);
      this.ink(last, now);
      last = now;
    });
    const stop = () => { if (last) { last = null; this.onchange(this.rows()); } };
    this.canvas.addEventListener("pointerup", stop);
    this.canvas.addEventListener("pointercancel", stop);
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.draw();
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (moves[event.key]) this.pen = this.pen.map((value, i) => Math.max(0, Math.min(this.size - 1, value + moves[event.key][i])));
    else if (event.key === " ") { this.ink([this.pen[0] + 0.5, this.pen[1] + 0.5], [this.pen[0] + 0.5, this.pen[1] + 0.5]); this.onchange(this.rows()); }
    else if (event.key === "Delete" || event.key === "Backspace") { this.clear(); this.onchange(this.rows()); }
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.draw();
  }

  // A stroke as thick as MNIST's, soft at its edge.
  ink(from, to) {
    for (let i = 0; i < this.values.length; i++) {
      const [x, y] = [i % this.size + 0.5, Math.floor(i / this.size) + 0.5];
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      const along = Math.max(0, Math.min(1, ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy || 1)));
      const far = Math.hypot(x - from[0] - along * dx, y - from[1] - along * dy);
      this.values[i] = Math.max(this.values[i], Math.max(0, Math.min(1, 2.1 - far)));
    }
    this.draw();
  }

  clear() {
    this.values.fill(0);
    this.draw();
  }

  rows() {
    return Array.from({ length: this.size }, (_, y) => Array.from(this.values.subarray(y * this.size, (y + 1) * this.size), (v) => Math.round(v * 1000) / 1000));
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const cell = this.canvas.width / this.size;
    this.values.forEach((value, i) => {
      const gray = Math.round(255 * value);
      context.fillStyle = `rgb(${gray},${gray},${gray})`;
      context.fillRect(i % this.size * cell, Math.floor(i / this.size) * cell, cell, cell);
    });
    if (this.given < this.size) {
      context.fillStyle = "rgba(35,50,68,0.85)";
      context.fillRect(0, this.given * cell, this.canvas.width, this.canvas.height);
      context.fillStyle = "#F0E442";
      context.fillRect(0, this.given * cell - 2, this.canvas.width, 4);
    }
    if (document.activeElement === this.canvas) {
      context.strokeStyle = "#F0E442";
      context.lineWidth = 2;
      context.strokeRect(this.pen[0] * cell, this.pen[1] * cell, cell, cell);
    }
  }

  // The 7 that every pad starts with; demo/record.py scores the same.
  static SEVEN = [[[7, 7], [20, 7], [12, 22]]];

  // Strokes, given as lists of points, as if drawn: what a tab shows before anyone draws.
  strokes(lines) {
    this.clear();
    for (const line of lines) line.slice(1).forEach((point, i) => this.ink(line[i], point));
  }
};

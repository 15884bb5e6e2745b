// A pad to draw on with mouse, finger or keys, 28 x 28, paper black and ink white as MNIST has them.
grpo.pad = (element, props, watch, trigger) => {
  const { make, bytes } = grpo;
  const SIZE = 28;
  const home = element.querySelector(".pad");
  const values = new Float32Array(SIZE * SIZE);
  const canvas = make("canvas", { width: 560, height: 560, role: "application", tabindex: 0,
    "aria-label": "Drawing pad, for mouse or finger; arrows move the pen, space puts ink, Delete clears." });
  const context = canvas.getContext("2d");
  const clear = make("button", { type: "button", onclick: () => { values.fill(0); send(); } },
    "Clear the pad");
  let last = null, pen = [14, 7], given = SIZE;
  home.replaceChildren(canvas, clear);

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * SIZE, (event.clientY - box.top) / box.height * SIZE];
  };
  canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    last = place(event);
    ink(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = place(event);
    ink(last, now);
    last = now;
  });
  const lift = () => { if (last) { last = null; send(); } };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (moves[event.key]) pen = pen.map((v, i) => Math.max(0, Math.min(SIZE - 1, v + moves[event.key][i])));
    else if (event.key === " ") { ink(pen.map((v) => v + 0.5), pen.map((v) => v + 0.5)); send(); }
    else if (event.key === "Delete" || event.key === "Backspace") { values.fill(0); send(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
  });

  // A stroke as thick as MNIST's, soft at its edge.
  function ink(from, to) {
    for (let i = 0; i < values.length; i++) {
      const [x, y] = [i % SIZE + 0.5, Math.floor(i / SIZE) + 0.5];
      const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
      const along = Math.max(0, Math.min(1,
        ((x - from[0]) * dx + (y - from[1]) * dy) / (dx * dx + dy * dy || 1)));
      const far = Math.hypot(x - from[0] - along * dx, y - from[1] - along * dy);
      values[i] = Math.max(values[i], Math.max(0, Math.min(1, 2.1 - far)));
    }
    draw();
  }

  function send() {
    draw();
    props.value = btoa(String.fromCharCode(...Array.from(values, (v) => Math.round(255 * v))));
    trigger("change");
  }

  function draw() {
    const cell = canvas.width / SIZE;
    values.forEach((value, i) => {
      const gray = Math.round(255 * value);
      context.fillStyle = `rgb(${gray},${gray},${gray})`;
      context.fillRect(i % SIZE * cell, Math.floor(i / SIZE) * cell, cell, cell);
    });
    if (given < SIZE) {
      context.fillStyle = "rgba(35,50,68,0.85)";
      context.fillRect(0, given * cell, canvas.width, canvas.height);
      context.fillStyle = "#F0E442";
      context.fillRect(0, given * cell - 2, canvas.width, 4);
    }
    if (document.activeElement === canvas) {
      context.strokeStyle = "#F0E442";
      context.strokeRect(pen[0] * cell, pen[1] * cell, cell, cell);
    }
  }

  // the part above the line is what counts
  home.keep = (share) => { given = Math.round(SIZE * share); draw(); };
  grpo.follow(props, watch, (value) => { bytes(value).forEach((v, i) => { values[i] = v / 255; }); draw(); });
};

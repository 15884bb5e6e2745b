// A sample, drawn token by token on a canvas. It never asks the server: what it shows is sent once.
grpo.player = (element, props, watch, trigger, { name, small }) => {
  const { make, bytes, still } = grpo;
  const home = element.querySelector(".player");
  const canvas = make("canvas", { width: 560, height: 560, role: "img",
    "aria-label": "The sample being drawn" });
  const context = canvas.getContext("2d");
  const detail = make("p", { class: "detail" });
  const scrub = make("input", { type: "range", min: 0, max: 64, value: 0, "aria-label": "Tokens drawn" });
  const where = make("span", { class: "where" });
  const speed = make("select", { "aria-label": "Speed" },
    ...[0.25, 0.5, 1, 2, 4].map((k) => make("option", { value: k, selected: k === 1 }, `${k}×`)));
  const button = (text, title, act) => make("button",
    { type: "button", title, "aria-label": title, onclick: act }, text);
  const me = { t: 0, length: 0, playing: false, play };
  const toggle = button("▶", "Play or pause (space)", () => play(!me.playing));
  let path = null, ink = null, tokens = null, clock = 0, before = 0, ticking = false;

  home.player = me;
  home.replaceChildren(canvas);
  if (!small) {
    home.append(make("div", { class: "keys" }, button("⇤", "To the start", () => { play(false); seek(0); }),
      button("‹", "One token back", () => { play(false); seek(me.t - 1); }), toggle,
      button("›", "One token on", () => { play(false); seek(me.t + 1); }), scrub, where, speed), detail);
    scrub.addEventListener("input", () => { play(false); seek(Number(scrub.value)); });
    canvas.addEventListener("pointermove", (event) => {
      if (!path) return;
      const box = canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left,
        event.clientY - box.top].map((v) => Math.floor(v / box.width * path.grid));
      if (x >= 0 && y >= 0 && x < path.grid && y < path.grid) tell(y * path.grid + x);
    });
    canvas.addEventListener("pointerleave", () => tell(me.t - 1));
  } else canvas.addEventListener("click", () => play(!me.playing));

  function load(value) {
    const picture = new Image();
    picture.onload = () => {
      ink = picture; // not its pixels: some browsers give noise to whoever reads a canvas
      path = value;
      tokens = bytes(value.tokens);
      me.length = scrub.max = tokens.length;
      canvas.style.borderColor = value.colour;
      seek(still.matches ? me.length : 0);
      play(!still.matches);
    };
    picture.src = value.picture;
  }

  function play(on) {
    me.playing = on && !!path;
    if (me.playing && me.t >= me.length) seek(0);
    clock = me.t;
    toggle.textContent = me.playing ? "❙❙" : "▶";
    if (!me.playing || ticking) return;
    ticking = true;
    before = performance.now();
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!me.playing || !canvas.isConnected) { ticking = false; return; }
    clock += (now - before) / 1000 * Number(speed.value) * me.length / 6; // a picture in six seconds
    before = now;
    if (Math.floor(clock) !== me.t) seek(Math.floor(clock));
    if (me.t >= me.length) { ticking = false; play(false); return; }
    requestAnimationFrame(tick);
  }

  function seek(t) {
    if (!path) return;
    me.t = Math.max(0, Math.min(me.length, t));
    const { size, grid } = path;
    const [patch, each] = [560 / grid, size / grid];
    context.imageSmoothingEnabled = false;
    for (let k = 0; k < me.length; k++) {
      const [x, y] = [k % grid, Math.floor(k / grid)];
      context.fillStyle = (x + y) % 2 ? "#1d2a3a" : "#233244";
      if (k >= me.t) context.fillRect(x * patch, y * patch, patch, patch);
      else context.drawImage(ink, x * each, y * each, each, each, x * patch, y * patch, patch, patch);
    }
    if (me.t < me.length) {
      context.strokeStyle = "#F0E442";
      context.lineWidth = small ? 10 : 5;
      context.strokeRect(me.t % grid * patch + 3, Math.floor(me.t / grid) * patch + 3, patch - 6, patch - 6);
    }
    scrub.value = me.t;
    where.textContent = `${me.t} / ${me.length}`;
    tell(me.t - 1);
    document.dispatchEvent(new CustomEvent("grpo:step", { detail: { name, t: me.t, path } }));
  }

  function tell(k) {
    if (!path || small) return;
    const place = `Row ${Math.floor(k / path.grid) + 1}, column ${k % path.grid + 1}`;
    const what = path.size === path.grid ? `gray level ${tokens[k]} of ${path.vocabulary - 1}`
      : `code ${tokens[k]} (0 to ${path.vocabulary - 1})`;
    if (k < 0) detail.textContent = "Nothing is drawn yet.";
    else if (k >= me.t) detail.textContent = `${place}: not drawn yet.`;
    else {
      const [chance, before] = [path.log_probs[k], path.reference[k]].map((v) => Math.exp(v).toPrecision(2));
      detail.textContent = `${place}: ${what}, probability ${chance} (the start gave it ${before}).`;
    }
  }

  grpo.follow(props, watch, load);
};

const find = (name) => element.querySelector(name);
const [picture, play, scrub, count, verdict, summary, grid] =
  [".picture", ".play", ".scrub", ".count", ".verdict", ".summary", ".grid"].map(find);
const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const PIXELS_A_SECOND = 20;
let data = null, chosen = 0, shown = 0, playing = false, last = 0;

const unpack = (payload) => {
  const bytes = Uint8Array.from(atob(payload.tokens), (letter) => letter.charCodeAt(0));
  const length = payload.size * payload.size;
  return payload.rewards.map((_, i) => bytes.subarray(i * length, (i + 1) * length));
};

function paint(canvas, tokens, upTo) {
  const context = canvas.getContext("2d"), cell = canvas.width / data.size;
  context.fillStyle = "#1d2a3a"; // not drawn yet: no gray level looks like it
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (let t = 0; t < upTo; t++) {
    const gray = Math.round((255 * tokens[t]) / (data.levels - 1));
    context.fillStyle = `rgb(${gray},${gray},${gray})`;
    context.fillRect((t % data.size) * cell, Math.floor(t / data.size) * cell, cell, cell);
  }
  if (canvas === picture) {
    context.strokeStyle = "rgba(255,255,255,0.14)"; // so that the pixels can be counted
    for (let k = 1; k < data.size; k++) {
      context.strokeRect(k * cell, -1, 0, canvas.height + 2);
      context.strokeRect(-1, k * cell, canvas.width + 2, 0);
    }
    if (upTo < tokens.length) {
      context.strokeStyle = data.colour;
      context.lineWidth = 4;
      context.strokeRect((upTo % data.size) * cell + 2, Math.floor(upTo / data.size) * cell + 2, cell - 4, cell - 4);
      context.lineWidth = 1;
    }
  }
}

function draw() {
  const tokens = data.samples[chosen], full = tokens.length;
  paint(picture, tokens, shown);
  scrub.max = full;
  scrub.value = shown;
  count.textContent = `${shown} / ${full}`;
  play.textContent = playing ? "Pause" : "Play";
  const right = data.reads[chosen] === data.digit;
  verdict.textContent = shown < full
    ? `Sample ${chosen + 1}: drawing a ${data.digit}, row by row from the top left`
    : `Sample ${chosen + 1}: reward ${data.rewards[chosen].toFixed(3)} · the judge reads ${data.reads[chosen]}` +
      `${right ? "" : " ×"} · ${data.surprise[chosen].toFixed(1)} nats`;
}

function frame(now) {
  if (!playing || !element.isConnected) return;
  const due = Math.floor(((now - last) * PIXELS_A_SECOND) / 1000);
  if (due > 0) {
    last += (due * 1000) / PIXELS_A_SECOND;
    shown = Math.min(shown + due, data.samples[chosen].length);
    if (shown === data.samples[chosen].length) playing = false;
    draw();
  }
  if (playing) requestAnimationFrame(frame);
}

function start(from) {
  if (!data) return;
  shown = from;
  playing = true;
  last = performance.now();
  draw();
  requestAnimationFrame(frame);
}

function choose(i) {
  chosen = i;
  [...grid.children].forEach((button, k) => button.setAttribute("aria-selected", String(k === i)));
  if (still) { playing = false; shown = data.samples[i].length; draw(); } else start(0);
}

function show() {
  if (!props.value) return;
  data = JSON.parse(props.value);
  data.samples = unpack(data);
  element.style.setProperty("--policy", data.colour);
  const right = data.reads.filter((digit) => digit === data.digit).length;
  const mean = data.rewards.reduce((sum, reward) => sum + reward, 0) / data.count;
  summary.textContent = `${data.title}: ${right} of ${data.count} samples read as ${data.digit} by the judge; ` +
    `mean reward ${mean.toFixed(3)} (live, seed ${data.seed}, temperature ${data.temperature}).`;
  grid.replaceChildren(...data.samples.map((tokens, i) => {
    const button = document.createElement("button"), canvas = document.createElement("canvas"), text = document.createElement("span");
    const right = data.reads[i] === data.digit;
    button.type = "button";
    button.setAttribute("role", "option");
    button.setAttribute("aria-label", `Sample ${i + 1}, reward ${data.rewards[i].toFixed(2)}${right ? "" : ", rejected by the judge"}`);
    canvas.width = canvas.height = 64;
    paint(canvas, tokens, tokens.length);
    text.textContent = data.rewards[i].toFixed(2) + (right ? "" : " ×");
    button.append(canvas, text);
    button.addEventListener("click", () => choose(i));
    return button;
  }));
  choose(0);
}

play.addEventListener("click", () => {
  if (!data) return;
  if (playing) { playing = false; draw(); } else start(shown === data.samples[chosen].length ? 0 : shown);
});
const move = (to) => {
  if (!data) return;
  playing = false;
  shown = Math.max(0, Math.min(to, data.samples[chosen].length));
  draw();
};
find(".back").addEventListener("click", () => move(shown - 1));
find(".next").addEventListener("click", () => move(shown + 1));
scrub.addEventListener("input", () => move(Number(scrub.value)));
watch("value", show);
show();

// What every view shares: the link, questions to the server, pictures from bytes, and small helpers. One global: grpo.
window.grpo = (() => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const percent = (share, places = 1) => `${(100 * share).toFixed(places)} %`;
  const figure = (value, places = 2) => (Number(value.toFixed(places)) < 0 ? "\u2212" : "") + Math.abs(value).toFixed(places);
  const signed = (value, places = 2) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(places);

  // The link: every value is checked against what it may be, and a bad one is named and left out.
  const LIMITS = {
    tab: ["story", "train", "generate", "compare", "rewards", "complete"],
    policy: [], recipe: [],
    task: ["steer", "refine"],
    digit: [0, 9], seed: [0, 2147483647], count: [1, 64], beat: [1, 6], presenter: [0, 1],
    temperature: [0.25, 2],
  };
  const state = { tab: "story", task: "steer", digit: 7, seed: 0, count: 24, beat: 1, presenter: 0, temperature: 1 };
  const asked = {}; // what the link said and was right
  const refused = [];

  function allow(name, values) {
    LIMITS[name] = values;
    read(name);
  }

  function read(name) {
    const text = new URLSearchParams(location.search).get(name);
    const limit = LIMITS[name];
    if (text === null || !limit.length) return;
    let value = text;
    let fine = limit.includes(text);
    if (typeof limit[0] === "number") {
      value = Number(text);
      fine = text.trim() !== "" && value >= limit[0] && value <= limit[1] && (name === "temperature" || Number.isInteger(value));
    }
    if (fine) state[name] = asked[name] = value;
    else refused.push(`${name} is ${JSON.stringify(text.slice(0, 40))}; allowed: ` +
      (typeof limit[0] === "number" ? `${limit[0]} to ${limit[1]}` : limit.join(", ")));
  }
  Object.keys(LIMITS).forEach(read);
  // Gradio mounts the head, the tabs and a tab's view in any order, and opens the first tab; until the head and the view that
  // the link names are there, nothing is shown that would jump. Should one of them never come, the rest is shown all the same.
  const awaited = new Set(["head", state.tab]);
  const show = () => document.documentElement.classList.remove("opening");
  document.documentElement.classList.add("opening");
  setTimeout(show, 15_000);

  function remember(changes) {
    Object.assign(state, changes);
    const link = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (!String(value).startsWith("mine:")) link.set(name, value); // a policy trained here is nobody else's
    }
    if (!state.presenter) link.delete("presenter");
    history.replaceState(null, "", `?${link}`);
  }

  // Pictures.
  function paint(canvas, values, size, colour = gray) {
    canvas.width = canvas.height = size;
    const context = canvas.getContext("2d");
    const image = context.createImageData(size, size);
    for (let i = 0; i < size * size; i++) image.data.set(colour(values[i]), 4 * i);
    context.putImageData(image, 0, 0);
  }
  const gray = (value) => [value, value, value, 255];
  // From neutral (dark) over orange to light: read by everyone, with or without colour vision.
  const heat = (value) => [Math.min(255, value * 2), Math.min(255, value * 1.25), 40 + value * 0.6, 255];
  // Advantages: vermilion is worse than the group, blue is better.
  function merit(value, most) {
    const share = Math.max(-1, Math.min(1, value / (most || 1)));
    const end = share < 0 ? [213, 94, 0] : [0, 114, 178];
    return `rgba(${end.join(",")},${(0.12 + 0.88 * Math.abs(share)).toFixed(3)})`;
  }

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  // A grid of samples; each is a button with its reward under it and a cross where the judge disagrees.
  function gallery(root, found, { label, chosen = 0, choose = null, note = null, frame = null }) {
    const pictures = bytes(found.images);
    const area = found.size * found.size;
    const nodes = found.rewards.map((reward, i) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      paint(canvas, pictures.subarray(i * area, (i + 1) * area), found.size);
      const wrong = found.reads[i] !== found.digit;
      const name = `${label} ${i + 1}: reward ${reward.toFixed(2)}, judge reads ${found.reads[i]}${wrong ? ", not the digit asked for" : ""}`;
      const text = note ? note(i) : reward.toFixed(2);
      const node = make(choose ? "button" : "div", choose
        ? { type: "button", class: "sample", "aria-label": name, "aria-pressed": String(i === chosen), onclick: () => pick(i) }
        : { class: "sample", role: "img", "aria-label": name }, canvas,
        make("span", { class: wrong ? "wrong" : "" }, wrong ? `\u00d7 ${text}` : text));
      if (frame) node.style.borderColor = frame(i);
      return node;
    });
    function pick(i) {
      nodes.forEach((node, k) => node.setAttribute("aria-pressed", String(k === i)));
      choose(i);
    }
    root.replaceChildren(...nodes);
  }

  // The digits, as native radio buttons: keyboard and screen reader know them already.
  function digits(root, name, chosen, change) {
    root.replaceChildren(...Array.from({ length: 10 }, (_, k) => make("label", {},
      make("input", { type: "radio", name, value: k, checked: k === chosen, onchange: () => change(k) }),
      make("span", {}, String(k)))));
  }

  // Views: each registers how it starts, and is started when Gradio mounts its component.
  const views = {};
  const recipeListeners = new Set();
  let answered = false; // by the engine, ever

  function mount(name, element, props, server) {
    const data = JSON.parse(props.value || "{}");
    if (!LIMITS.recipe.length) { // what the first view brings holds for all
      allow("recipe", Object.keys(data.recipes));
      allow("policy", [...new Set(Object.values(data.policies).flatMap(Object.keys))]);
      state.recipe = asked.recipe || Object.keys(data.recipes)[0];
    }
    const view = element.querySelector(".grpo");
    const message = element.querySelector(".message");
    const say = (text) => { if (message) message.textContent = text || ""; };
    let turn = 0;
    // Asks the engine. Only the latest question of a view is answered; a refusal is shown in words. What is on the screen fades
    // while its successor is drawn, unless that is there at once.
    async function ask(call, args, latest = true) {
      const mine = latest ? ++turn : turn;
      const fade = setTimeout(() => { if (mine === turn && latest) view.dataset.waiting = call; }, 80);
      const slow = setTimeout(() => { if (mine === turn) say(answered ? "Working\u2026" : "Loading the models\u2026"); }, 700);
      try {
        const reply = await server.ask({ call, arguments: args });
        answered = true;
        if (mine !== turn) return null;
        say(reply.error);
        return reply.error ? null : reply.answer;
      } catch {
        if (mine === turn) say("The server did not answer; please try again.");
        return null;
      } finally {
        clearTimeout(slow);
        clearTimeout(fade);
        if (mine === turn && latest) delete view.dataset.waiting;
      }
    }
    if (refused.length) say(`The link was not right: ${refused.join("; ")}.`);
    views[name]({ element, find: (query) => element.querySelector(query), ask, data });
    if (awaited.delete(name) && !awaited.size) setTimeout(show, 50); // once it is laid out
  }

  // A policy that this visitor trained: it joins the shipped ones in the tabs that let one choose.
  const own = { policy: null, listeners: new Set() };
  function adopt(policy) {
    own.policy = policy;
    own.listeners.forEach((listener) => listener(policy));
  }
  function choosePolicy(select, policies, taken) {
    const add = ({ name, title }) => {
      [...select.options].filter((option) => option.value.startsWith("mine:")).forEach((option) => option.remove());
      select.append(make("option", { value: name }, title));
    };
    const fill = () => {
      const chosen = select.value;
      select.replaceChildren(...Object.entries(policies[state.recipe]).map(([name, title]) => make("option", { value: name }, title)));
      if (own.policy && own.policy.recipe === state.recipe) add(own.policy);
      if ([...select.options].some((option) => option.value === chosen)) select.value = chosen;
    };
    fill();
    recipeListeners.add(fill);
    own.listeners.add((policy) => { add(policy); taken(policy); });
    return own.policy;
  }

  // Whether what was recorded is what would be asked for now.
  const same = (recorded, request) => Boolean(recorded) && recorded.recipe === state.recipe &&
    Object.keys(request).every((name) => recorded[name] === request[name]);

  return {
    adopt, asked, bytes, choosePolicy, digits, figure, gallery, heat, make, merit, mount, paint, percent, remember, same, signed, state, still, views,
    onRecipe: (listener) => recipeListeners.add(listener),
    setRecipe(recipe) {
      remember({ recipe });
      recipeListeners.forEach((listener) => listener(recipe));
    },
  };
})();

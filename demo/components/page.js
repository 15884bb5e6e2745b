// What Gradio cannot do: the link, presenter mode, shortcuts. And what the components share.
window.grpo = (() => {
  const root = document.documentElement;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const percent = (share) => `${(100 * share).toFixed(0)} %`;
  const TYPED = "textarea, select, [role=listbox], input:not([type=radio], [type=checkbox], [type=range])";

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children);
    return node;
  }

  // A component shows its value when it is mounted and whenever it changes.
  function follow(props, watch, show) {
    const fresh = () => { if (props.value) show(props.value); };
    watch("value", fresh);
    fresh();
  }

  // The link. The server checks it when the page opens; here it is only written.
  let ready = false; // Gradio selects the first tab while it builds the page: that is nobody's choice
  let late = () => {}; // what was chosen before it was ready
  const begin = () => {
    if (!ready) { ready = true; late(); }
    setTimeout(() => root.classList.remove("opening"), 60); // once it is laid out
  };
  root.classList.add("opening"); // until the tab of the link is there, nothing is shown that would jump
  setTimeout(begin, 8000); // should it never come, the rest is shown all the same
  let address = null; // the parameters that the link is to have
  function write(turned) {
    if (`?${address}` === location.search) return;
    try { history[turned ? "pushState" : "replaceState"](null, "", `?${address}`); }
    catch { setTimeout(write, 2000, turned); } // Safari takes a hundred in ten seconds
  }
  function remember(view) {
    if (!ready) return;
    const turned = view.tab !== undefined && view.tab !== root.dataset.tab;
    for (const [name, value] of Object.entries(view)) {
      // a policy trained here is nobody else's
      if (value === null || String(value).startsWith("mine:")) address.delete(name);
      else address.set(name, value);
    }
    write(turned);
    if (!view.tab) return;
    root.dataset.tab = view.tab;
    press("again"); // shows what it holds
  }
  // The address holds what is not as usual: of the controls that all tabs share, and of the open tab's.
  function link(controls, values) {
    if (!ready) late = () => link(controls, values);
    const view = {};
    controls.forEach(([tab, name, usual], i) => {
      view[name] ??= null;
      const here = (!tab || tab === root.dataset.tab) && !["", `${usual}`].includes(`${values[i]}`);
      if (here) view[name] = values[i];
    });
    remember(view);
  }
  // The part of the link that the page handles by itself, at first and when Back is pressed.
  function restore() {
    address = new URLSearchParams(location.search);
    root.dataset.tab = address.get("tab") || "story"; // so that opening it adds nothing to go back to
    root.classList.toggle("presenter", address.get("presenter") === "1");
    root.classList.toggle("unasked", address.get("guess") === "0");
  }
  restore();
  addEventListener("popstate", () => { restore(); open(root.dataset.tab); });

  // Another tab, by its name or number. Gradio opens it: on a phone its button is in a menu, without a name.
  let asked = "story";
  const press = (id) => document.getElementById(id)?.click();
  const open = (tab) => { asked = tab; press("open-tab"); };
  const opened = (names) => names[asked - 1] ?? asked;

  // The step of the story: by how many to turn, and from which where it is known.
  let step = 1;
  function turn(by, last, from = step) {
    step = Math.max(1, Math.min(last, from + by));
    remember({ step });
    return step;
  }

  // Presses of a button so far: those that came before Gradio has shown the last ones count as well.
  let presses = 0, before = null;
  function count(shown, most) {
    presses = shown === before ? presses + 1 : 1;
    before = shown;
    setTimeout(() => { before = null; }, 500);
    return Math.min(most, shown + presses);
  }

  // What the button that was pressed last asks of One step: how many updates, and whether for the next group.
  let button = "", pointed = false; // whether the mouse, not the Tab key, has put the focus where it is
  addEventListener("click", ({ target, detail }) => {
    pointed ||= detail > 0;
    button = target.closest?.("button")?.id;
    // what it shows is on top
    if (target.closest?.(".transport .primary, #train-example, #generate-samples .cell")) scrollTo(0, 0);
  }, true);
  // A number too large for JSON's readers would not reach the check that refuses it.
  addEventListener("input", ({ target }) => {
    if (target.type === "number" && Math.abs(target.value) > 1e15) target.value = 1e15;
  }, true);
  function counted(updates, most) {
    if (button === "onestep-update") return [count(updates, most), false];
    return [button === "onestep-draw" ? updates : 0, true];
  }

  // Presenter mode, in which the page is a slide; and questions to guess at, for those who want none.
  function present(on) {
    root.classList.toggle("presenter", on);
    remember({ presenter: on ? 1 : null });
    dispatchEvent(new Event("resize")); // Gradio lays its tabs out anew
  }
  function ask(on) {
    root.classList.toggle("unasked", !on);
    remember({ guess: on ? null : 0 });
  }

  const HELP = [["1 to 9", "tabs"], ["left, right", "steps of the story"], ["space", "play or pause"],
    ["T", "train"], ["U", "update, in One step"], ["G", "questions to guess, off and on"],
    ["P", "presenter mode, on and off"], ["F", "full screen"], ["?", "this list"]];
  function help() {
    const list = HELP.map(([key, does]) => make("li", {}, make("kbd", {}, key), ` ${does}`));
    const dialog = make("dialog", { class: "help", onclick: () => dialog.close(),
      onclose: () => dialog.remove() }, make("h2", {}, "Keys"), make("ul", {}, ...list));
    document.body.append(dialog);
    dialog.showModal();
  }
  function key(event) {
    const at = event.target, has = (what) => !pointed && at.matches?.(what);
    if (event.key === "Tab") pointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey || at.matches?.(TYPED)) return;
    const list = document.querySelector("dialog.help"); // takes all keys
    if (list) return event.key === "?" ? list.close() : undefined;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-9]$/.test(name)) open(name);
    else if (/^Arrow(Left|Right)$/.test(name) && root.dataset.tab === "story" && !has("input, [role=tab]"))
      press(name === "ArrowRight" ? "story-next" : "story-back");
    else if (name === " " && !has("button, input, summary, a") && !at.matches?.(".pad canvas")) {
      at.blur(); // else a button that was clicked would be pressed again
      const seen = (what) => [...document.querySelectorAll(what)].filter((one) => one.offsetParent);
      const on = !seen(".grpo.player").some((one) => one.player.playing);
      seen(".grpo.player").forEach((one) => one.player.play(on));
      seen(".race .keys button").forEach((one) => one.click());
    } else if (name === "t" && root.dataset.tab === "mistakes") press("mistakes-start");
    else if (name === "t") {
      open("train");
      setTimeout(() => press("train-start"), 150);
    } else if (name === "u" && root.dataset.tab === "onestep") press("onestep-update");
    else if (name === "g") ask(root.classList.contains("unasked"));
    else if (name === "p") present(!root.classList.contains("presenter"));
    else if (name === "f") document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen();
    else if (name === "?") help();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  addEventListener("keydown", key, true);

  // The live runs that this page follows, by the component that shows them. A page that is loaded anew takes
  // them up where they were: so does Gradio with a page that lost its connection.
  const runs = {};
  let kept = {}; // where a browser refuses storage to a frame, nothing outlives the page
  try { kept = sessionStorage; } catch { /* refused */ }
  const mine = () => kept.mine || ""; // keys of its runs
  const run = (name) => (runs[name] ??= { key: kept[name] || "", seen: 0, over: true });
  function news(name, key, seen, over) {
    Object.assign(run(name), { key, seen, over, asked: true });
    kept[name] = over ? "" : key;
    if (!mine().includes(key)) kept.mine = `${mine()} ${key}`;
    const going = Object.values(runs).some((one) => !one.over);
    document.querySelector("#chip .chip").textContent = going ? "live" : "";
  }
  // What the page has heard of a run, for its next question.
  const known = (name) => (run(name).asked = true) && `${run(name).key} ${run(name).seen}`;
  // Gradio's timer rests while the page is hidden, and a run that nobody asks about ends. If it rests
  // while the page is visible, it waits for an answer that was lost. A worker's timer is never slowed down.
  const clock = new Blob(["setInterval(() => postMessage(0), 10000)"]);
  new Worker(URL.createObjectURL(clock)).onmessage = () => {
    for (const [name, one] of Object.entries(runs).filter(([, { over }]) => !over)) {
      if (document.hidden) press(name.replace("-race", "-news"));
      else if (one.asked) one.asked = false;
      else fetch("").then(() => location.reload(), () => {}); // unless there is no server
    }
  };

  return { make, follow, bytes, percent, still, root, begin, remember, link, opened, turn, counted, present,
    run, news, known, mine };
})();

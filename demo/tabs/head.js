// The head of the page: the recipe switch, presenter mode, and which tab is open.
window.grpo.views.head = ({ find, data }) => {
  const { make, remember, setRecipe, state } = window.grpo;
  const box = find(".recipes");
  const names = Object.keys(data.recipes);
  box.append(...names.map((name) => make("label", {},
    make("input", { type: "radio", name: "recipe", value: name, checked: name === state.recipe, onchange: () => setRecipe(name) }),
    make("span", {}, data.recipes[name]))));
  box.hidden = names.length < 2;

  const button = find(".present");
  function present(on) {
    document.body.classList.toggle("presenter", on);
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Leave presenter mode" : "Present";
    remember({ presenter: on ? 1 : 0 });
  }
  button.addEventListener("click", () => present(!state.presenter));
  if (state.presenter) present(true);
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest && event.target.closest("input:not([type=radio]):not([type=range]), textarea, select");
    if (event.key.toLowerCase() === "p" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) present(!state.presenter);
  });

  // The tabs are Gradio's; the link names the open one.
  const titles = data.tabs;
  const tabs = () => [...document.querySelectorAll('[role="tab"]')].filter((tab) => Object.values(titles).includes(tab.textContent.trim()));
  document.addEventListener("click", (event) => {
    const tab = event.target.closest && event.target.closest('[role="tab"]');
    const name = tab && Object.keys(titles).find((key) => titles[key] === tab.textContent.trim());
    if (name) remember({ tab: name });
  });
  let tries = 0;
  (function open() {
    const wanted = tabs().find((tab) => tab.textContent.trim() === titles[state.tab]);
    if (!wanted && tries++ < 500) setTimeout(open, 30);
    else if (wanted && state.tab !== "story") wanted.click();
  })();
};

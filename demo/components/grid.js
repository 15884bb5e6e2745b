// Samples in a grid, cut out of one picture. Cross: the judge reads another digit. Dot: a near-twin.
grpo.cells = (home, value, pick = null) => {
  const { make } = grpo;
  const { columns, count, digit } = value;
  const rows = Math.ceil(count / columns);
  home.style.setProperty("--columns", columns);
  home.style.setProperty("--rows", rows);
  home.style.setProperty("--sheet", value.sheet ? `url(${value.sheet})` : "none");
  home.classList.toggle("smooth", value.size > 8);
  const [left, top, wide, high] = value.part || [0, 0, 1, 1]; // of the sheet, where it holds several grids
  const spot = (i) => `${place(left * columns + i % columns, wide * columns)}% ${
    place(top * rows + Math.floor(i / columns), high * rows)}%`;
  const place = (i, of) => (of > 1 ? 100 * i / (of - 1) : 0);
  home.replaceChildren(...Array.from({ length: count }, (_, i) => {
    const wanted = value.digits ? value.digits[i] : digit;
    const wrong = value.reads && value.reads[i] !== wanted;
    const twin = value.twins && value.twins.includes(i);
    const words = value.notes ? [value.notes[i]].flat() : []; // a number, after a letter to guess with
    const reward = value.rewards ? `: reward ${value.rewards[i].toFixed(2)}` : "";
    const name = (value.names ? value.names[i] : `Sample ${i + 1}${reward}`)
      + (value.reads ? `, the judge reads ${value.reads[i]}` : "");
    const node = make(pick ? "button" : "div",
      { class: `cell${wrong ? " wrong" : ""}${twin ? " twin" : ""}`, title: name,
        ...(pick ? { type: "button", "aria-label": name } : {}),
      style: value.colours ? `border-color:${value.colours[i]}` : null },
    make("i", { style: `background-position:${spot(i)};background-size:${100 * wide * columns}% ${
      100 * high * rows}%` }),
    ...(words.length ? [make("span", {}, ...words.slice(0, -1).map((letter) => make("b", {}, `${letter} `)),
      words.at(-1))] : []));
    if (pick) node.addEventListener("click", () => pick(i));
    return node;
  }));
};

grpo.grid = (element, props, watch, trigger, { choose }) => {
  const home = element.querySelector(".grid");
  const mark = (i) => [...home.children].forEach((node, k) =>
    node.setAttribute("aria-pressed", String(k === i)));
  const pick = (i) => {
    mark(i);
    trigger("select", { index: i });
  };
  grpo.follow(props, watch, (value) => {
    grpo.cells(home, value, choose ? pick : null);
    home.setAttribute("role", choose ? "group" : "img");
    home.setAttribute("aria-label", value.says || `${value.count} samples`);
    if (choose) mark(value.chosen || 0);
  });
};

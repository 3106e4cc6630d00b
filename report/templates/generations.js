// The page of generations: filters what lunar.pages.generations embedded and draws one page of it at a time.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const PAGE = 20; // questions drawn at a time
const WIDE = 3; // up to so many attacks stand side by side, more below each other
const chosen = { methods: new Set(data.methods.keys()), attacks: new Set([0]) };
const revealed = new Set();
let found = []; // questions that pass, each with its answers that do
let page = 0;

function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const attackName = (number) => (data.attacks[number] === "none" ? "left alone" : data.attacks[number]);
const shown = (question) => question.answers.filter(([m, a]) => chosen.methods.has(m) && chosen.attacks.has(a));

// Lower-case text of an answer, made when first searched.
const lower = (text) => (text.lower ??= text[0].join("").toLowerCase());

function filter() {
  const split = at("split").value;
  const kind = at("outcome").value;
  const of = at("of").value;
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  found = [];
  for (const question of data.questions) {
    if (split !== "" && question.split !== Number(split)) continue;
    const answers = shown(question);
    if (!answers.length) continue;
    const fits = ([m, , t]) => question.texts[t][1] === Number(kind) && (of === "" || m === Number(of));
    if (kind !== "" && !answers.some(fits)) continue;
    if (words.length) {
      const asked = `${question.id} ${question.question} ${question.gold}`.toLowerCase();
      const texts = [asked, ...answers.map((one) => lower(question.texts[one[2]]))];
      if (!words.every((word) => texts.some((text) => text.includes(word)))) continue;
    }
    found.push([question, answers]);
  }
  page = 0;
  draw();
}

function cell(question, answer, asked) {
  const [, attack, number, other, prefill] = answer;
  const [pieces, kind, score] = question.texts[number];
  const name = data.outcomes[kind];
  const badge = make("span", { className: `badge ${name}` }, name);
  if (score !== null) badge.append(make("span", {}, score.toFixed(2)));
  const text = make("p", {});
  if (hidden(question) && name !== "refused") {
    text.append(make("span", { className: "muted" }, "masked"));
  } else {
    if (prefill) text.append(make("span", { className: "muted" }, `[prefilled: ${prefill}] `));
    pieces.forEach((piece, i) => piece && text.append(i % 2 ? make("mark", {}, piece) : piece));
    if (!pieces.join("").trim()) text.append(make("span", { className: "muted" }, "(nothing)"));
  }
  // In which words an attack asks is said once.
  if (other && !asked.has(attack + other)) {
    asked.add(attack + other);
    text.append(make("br"), make("small", { className: "muted" }, `asked: ${other}`));
  }
  return make("div", { className: "cell" }, badge, text);
}

const hidden = (question) => data.splits[question.split][1] && !revealed.has(question.id);

function heading(question) {
  if (!hidden(question)) return make("h2", {}, question.question);
  const show = make("button", { type: "button" }, "Harmful request, masked: show");
  show.onclick = () => {
    revealed.add(question.id);
    const drawn = card(question, shown(question));
    show.closest("article").replaceWith(drawn);
    drawn.focus();
  };
  return make("h2", {}, show);
}

function card(question, answers) {
  const attacks = [...new Set(answers.map((one) => one[1]))].sort((a, b) => a - b);
  const sideBySide = attacks.length <= WIDE;
  const asked = new Set();
  const body = make("tbody", {});
  if (question.gold) {
    const name = make("th", { scope: "row", colSpan: sideBySide ? 1 : 2 }, "gold answer");
    const text = make("div", { className: "cell" }, make("span", {}), make("p", {}, question.gold));
    const gold = make("td", { colSpan: sideBySide ? attacks.length : 1 }, text);
    body.append(make("tr", { className: "gold" }, name, gold));
  }
  for (const method of [...chosen.methods].sort((a, b) => a - b)) {
    const own = answers.filter((one) => one[0] === method).sort((a, b) => a[1] - b[1]);
    if (!own.length) continue;
    const name = make("th", { scope: sideBySide ? "row" : "rowgroup" }, data.methods[method]);
    if (sideBySide) {
      const cells = attacks.map((attack) => {
        const one = own.find((other) => other[1] === attack);
        return make("td", {}, one ? cell(question, one, asked) : make("span", { className: "muted" }, "not asked"));
      });
      body.append(make("tr", {}, name, ...cells));
      continue;
    }
    name.rowSpan = own.length;
    own.forEach((one, i) => {
      const attack = make("th", { scope: "row" }, attackName(one[1]));
      body.append(make("tr", {}, ...(i ? [] : [name]), attack, make("td", {}, cell(question, one, asked))));
    });
  }
  const table = make("table", {}, body);
  if (sideBySide && attacks.length > 1) {
    table.className = "several";
    const names = ["method", ...attacks.map(attackName)].map((name) => make("th", { scope: "col" }, name));
    table.prepend(make("thead", {}, make("tr", {}, ...names)));
  }
  const where = make("p", { className: "where muted" }, `${data.splits[question.split][0]} · ${question.id}`);
  return make("article", { tabIndex: -1 }, heading(question), where, make("div", { className: "wide" }, table));
}

function draw() {
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const part = found.slice(page * PAGE, (page + 1) * PAGE);
  at("questions").replaceChildren(...part.map(([question, answers]) => card(question, answers)));
  const answers = found.reduce((sum, [, some]) => sum + some.length, 0);
  at("said").textContent = found.length
    ? `${found.length} of ${data.questions.length} questions, ${answers.toLocaleString("en")} answers`
    : "Nothing fits: choose more splits, methods or attacks, or search for less.";
  at("page").textContent = `page ${page + 1} of ${pages}`;
  at("back").disabled = page === 0;
  at("on").disabled = page === pages - 1;
}

function turn(step) {
  const next = page + step;
  if (next < 0 || next * PAGE >= found.length) return;
  page = next;
  draw();
  window.scrollTo(0, 0);
}

function options(select, first, entries) {
  const before = select.value;
  select.replaceChildren(new Option(first, ""), ...entries.map(([name, value]) => new Option(name, value)));
  select.value = entries.some(([, value]) => String(value) === before) ? before : "";
}

// Boxes to tick, with buttons that tick all or the first alone; `kind` is methods or attacks.
function boxes(kind, nameOf) {
  const set = chosen[kind];
  const inputs = data[kind].map((_, i) => make("input", { type: "checkbox", checked: set.has(i) }));
  const said = () => {
    const names = [...set].sort((a, b) => a - b).map(nameOf);
    const some = names.length > 4 ? `${names.length} of ${inputs.length}` : names.join(", ") || "none";
    at(`${kind}-said`).textContent = `${kind === "methods" ? "Methods" : "Attacks"}: ${names.length === inputs.length ? `all ${names.length}` : some}`;
  };
  const changed = () => {
    set.clear();
    inputs.forEach((input, i) => input.checked && set.add(i));
    said();
    options(at("of"), "any shown method", [...chosen.methods].map((i) => [data.methods[i], i]));
    filter();
  };
  const tick = (text, which) => {
    const button = make("button", { type: "button" }, text);
    button.onclick = () => {
      inputs.forEach((input, i) => (input.checked = which(i)));
      changed();
    };
    return button;
  };
  inputs.forEach((input) => (input.onchange = changed));
  at(kind).append(
    tick("all", () => true),
    kind === "attacks" ? tick("left alone only", (i) => i === 0) : tick("none", () => false),
    ...inputs.map((input, i) => make("label", {}, input, ` ${nameOf(i)}`)),
  );
  said();
}

options(at("split"), "all", data.splits.map(([title], i) => [title, i]));
options(at("outcome"), "any", data.outcomes.map((name, i) => [name, i]));
options(at("of"), "any shown method", data.methods.map((name, i) => [name, i]));
boxes("methods", (i) => data.methods[i]);
boxes("attacks", attackName);
at("search").oninput = filter;
for (const id of ["split", "outcome", "of"]) at(id).onchange = filter;
at("back").onclick = () => turn(-1);
at("on").onclick = () => turn(1);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.closest("input, select, .wide")) { // .wide: a table that arrows scroll
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const cards = [...document.querySelectorAll("article")];
  const focused = cards.indexOf(document.activeElement?.closest("article"));
  const go = {
    "/": () => at("search").focus(),
    j: () => cards[Math.min(focused + 1, cards.length - 1)]?.focus(),
    k: () => cards[Math.max(focused - 1, 0)]?.focus(),
    ArrowLeft: () => turn(-1),
    ArrowRight: () => turn(1),
  }[event.key];
  if (!go) return;
  event.preventDefault();
  go();
});
filter();

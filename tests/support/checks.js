// What can be wrong with a page or a figure. Each function returns the faults that it finds, in words.
const POINT = 96 / 72; // pixels
const near = (node) => (node.textContent ?? "").trim().replace(/\s+/g, " ").slice(0, 60) || `<${node.tagName}>`;
const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);

// --- Pages

// One h1, before all others; no level left out on the way down; a language and a title for who cannot see it.
function headings() {
  const levels = all("h1, h2, h3, h4, h5, h6").map((node) => [Number(node.tagName[1]), near(node)]);
  const tops = levels.filter(([level]) => level === 1).length;
  const found = tops === 1 ? [] : [`${tops} headings h1`];
  levels.forEach(([level, text], i) => {
    const above = i ? levels[i - 1][0] : 0;
    if (level > above + 1) found.push(`h${level} "${text}" follows h${above}`);
  });
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title) found.push("no title");
  return found;
}

// No picture without its file, its size or its words.
function pictures() {
  return all("img").concat([...document.images].filter((image) => !image.naturalWidth)).flatMap((image) => {
    const name = image.getAttribute("src")?.slice(0, 60) ?? "no src";
    if (!image.naturalWidth || !image.naturalHeight) return [`no picture: ${name}`];
    return image.alt.trim() ? [] : [`no alternative text: ${name}`];
  });
}

// Nothing sticks out sideways, of the page or of a table's cell; what is wider scrolls in a container of its own.
function widths() {
  const scrolls = (node) => node && node !== document.body && node !== document.documentElement
    && (["auto", "scroll"].includes(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
  const page = document.documentElement;
  const found = page.scrollWidth > page.clientWidth ? [`the page is ${page.scrollWidth - page.clientWidth} px too wide`] : [];
  for (const table of all("table")) {
    const over = table.getBoundingClientRect().right - page.clientWidth;
    if (over > 1 && !scrolls(table)) found.push(`table "${near(table)}" sticks out ${Math.round(over)} px`);
  }
  for (const cell of all("td, th")) {
    const inside = document.createRange();
    inside.selectNodeContents(cell);
    const over = inside.getBoundingClientRect().right - cell.getBoundingClientRect().right;
    if (over > 1) found.push(`"${near(cell)}" sticks out of its cell by ${Math.round(over)} px`);
  }
  return found;
}

// Text as bright or dark enough against what is behind it, as WCAG 2 counts it.
function contrast() {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (text) => { // red, green, blue and opacity, 0 to 255
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = text;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const over = (front, back) => back.map((value, i) => (front[i] * front[3] + value * (255 - front[3])) / 255);
  const light = (rgb) => rgb.map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => (node ? over(colour(getComputedStyle(node).backgroundColor), behind(node.parentElement)) : [255, 255, 255]);
  const seen = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(node) || node.closest("script, style, noscript")) continue;
    const back = behind(node);
    const [a, b] = [light(over(colour(getComputedStyle(node).color), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const kind = `${node.tagName}.${node.className}`;
    if (ratio < 4.5 && !seen.has(kind)) seen.set(kind, `contrast ${ratio.toFixed(2)} of "${near(node)}" (${kind})`);
  }
  return [...seen.values()];
}

// --- Figures

// The corners of a text's box on the screen, turned as it is, a little smaller than its line.
function box(text) {
  const parts = (text.childElementCount ? [...text.children] : [text]).map((part) => part.getBBox()); // blanks between them are large
  const to = text.getScreenCTM();
  const [left, right] = [Math.min(...parts.map((one) => one.x)), Math.max(...parts.map((one) => one.x + one.width))];
  const top = Math.min(...parts.map((one) => one.y + 0.2 * one.height));
  const bottom = Math.max(...parts.map((one) => one.y + 0.85 * one.height));
  return [[left, top], [right, top], [right, bottom], [left, bottom]].map(([a, b]) => {
    const corner = new DOMPoint(a, b).matrixTransform(to);
    return [corner.x, corner.y];
  });
}

// Whether two turned boxes share more than a hair: no line along a side of either keeps them apart.
function meet(one, other) {
  for (const corners of [one, other]) {
    for (const i of [0, 1]) {
      const along = [corners[i + 1][1] - corners[i][1], corners[i][0] - corners[i + 1][0]];
      const size = Math.hypot(...along);
      const [a, b] = [one, other].map((points) => points.map(([x, y]) => (x * along[0] + y * along[1]) / size));
      if (Math.max(...a) <= Math.min(...b) + 0.5 || Math.max(...b) <= Math.min(...a) + 0.5) return false;
    }
  }
  return true;
}

// Texts are large enough to read, lie within the figure and on top of no other; the figure has words for who cannot see it.
function texts() {
  const found = document.querySelector("svg > title")?.textContent.trim() ? [] : ["no title"];
  const page = document.querySelector("svg").getBoundingClientRect();
  const drawn = all("svg text").filter((text) => text.textContent.trim());
  if (!drawn.length) found.push("no text");
  const boxes = drawn.map(box);
  drawn.forEach((text, i) => {
    const to = text.getScreenCTM();
    const parts = text.childElementCount ? [...text.children] : [text]; // of a formula each part has its own size
    const sizes = parts.map((part) => parseFloat(getComputedStyle(part).fontSize));
    const size = (Math.min(...sizes) * Math.hypot(to.a, to.b)) / POINT;
    if (size < 5.95) found.push(`"${near(text)}" is ${size.toFixed(1)} pt`);
    if (boxes[i].some(([x, y]) => x < page.left - 1 || x > page.right + 1 || y < page.top - 1 || y > page.bottom + 1)) {
      found.push(`"${near(text)}" sticks out of the figure`);
    }
    for (let j = 0; j < i; j += 1) if (meet(boxes[i], boxes[j])) found.push(`"${near(drawn[j])}" and "${near(text)}" overlap`);
  });
  return found;
}

// Every panel, as matplotlib names its parts, shows something beside its frame, grid and lines of reference; or says why not.
function marks() {
  const panels = [...document.querySelectorAll("svg g[id^='axes_']")];
  const visible = (part) => {
    const { width, height } = part.getBoundingClientRect();
    if (part.querySelector("image") || part.matches("image, [id^='QuadMesh'], [id*='Collection']")) return width * height > 0;
    // A spine is a patch, and a line of reference a line, that is flat; a marker is a use of its shape.
    if (part.matches("[id^='line2d_'], [id^='point-']")) return part.querySelector("use") !== null || (width > 1 && height > 1);
    return part.matches("[id^='patch_']") && width > 1 && height > 1;
  };
  const empty = panels.filter((panel) => {
    const frame = panel.querySelector(":scope > [id^='patch_']");
    const parts = [...panel.children].filter((part) => part !== frame);
    return !parts.some(visible) && !parts.some((part) => part.matches("[id^='text_']") && part.textContent.includes("no "));
  });
  const found = panels.length ? [] : ["no panel"];
  return found.concat(empty.map((panel) => `${panel.id} is empty`));
}

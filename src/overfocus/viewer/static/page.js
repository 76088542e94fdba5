"use strict";
// A window to play with a classifier: what is painted is sent as bits, and the answer comes back as numbers and pictures.
const $ = (id) => document.getElementById(id);
const PAGE = crypto.getRandomValues(new Uint32Array(2)).join("-");
const FILLS = ["mean", "blur", "noise"];
const SHOWN = 12, MOST_UNDONE = 40;
let setup, width, height, scale;
let picture = null, donor = null, picking = false, box = null;
let paint, pastes = [], past = [], stroke = 0, pending = false;
let lastSaid = "", cursor = null, dragged = null, maps = [], first = 0, total = 0, own = [], kept = [];
history.replaceState(null, "", "/");

// What the server says, and what to say where it says nothing.
async function ask(name, body) {
  let reply, said;
  try {
    const headers = { "Content-Type": "application/json" };
    reply = await fetch(`/api/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
    said = await reply.json();
  } catch {
    throw new Error("The window no longer answers: it was stopped or has crashed. Run `overfocus open` again.");
  }
  if (reply.status === 409) return null;
  if (!reply.ok) throw new Error(said.error);
  return said;
}
function tell(error) {
  $("fault").hidden = !error;
  $("fault").firstElementChild.textContent = error ? error.message : "";
}
// One request at a time; of those that come meanwhile only the newest is sent.
function newest(work) {
  let running = false, waiting = null;
  return async (...args) => {
    waiting = args;
    if (running) return;
    running = true;
    while (waiting) {
      const now = waiting;
      waiting = null;
      try { await work(...now); } catch (error) { tell(error); }
    }
    running = false;
  };
}
const guarded = (work) => async (...args) => { try { return await work(...args); } catch (error) { tell(error); } };

// Small helpers.
function make(tag, text, values = {}) {
  const made = Object.assign(document.createElement(tag), values);
  if (text !== undefined) made.textContent = text;
  return made;
}
const percent = (share) => {
  const value = 100 * share;
  return `${value >= 0.05 && value < 0.95 ? value.toFixed(1) : value > 99 && value < 99.95 ? value.toFixed(1) : value.toFixed(0)} %`;
};
// A name may break after a low line.
const soft = (name) => name.replaceAll("_", "_\u200b");
const within = (value, low, high) => Math.min(Math.max(value, low), high);
const tool = () => document.querySelector("input[name=tool]:checked").value;
const model = (number) => setup.models[number].name;
function bitsOf(test) {
  const bytes = new Uint8Array(Math.ceil(width * height / 8));
  let any = false;
  paint.forEach((value, at) => { if (test(value)) { bytes[at >> 3] |= 128 >> (at & 7); any = true; } });
  return any ? btoa(String.fromCharCode(...bytes)) : null;
}
function edits() {
  const painted = FILLS.map((fill, at) => ({ fill, mask: bitsOf((value) => value === at + 1) })).filter((each) => each.mask);
  return [...pastes, ...painted];
}
function pixelsOf(address) {
  return new Promise((done, failed) => {
    const image = new Image();
    image.onerror = () => failed(new Error("a picture of the window cannot be shown"));
    image.onload = () => {
      const canvas = make("canvas", undefined, { width, height }), pen = canvas.getContext("2d");
      pen.drawImage(image, 0, 0);
      done(pen.getImageData(0, 0, width, height).data);
    };
    image.src = address;
  });
}
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

// Pictures to choose from.
function thumb(each, chosen) {
  const item = make("li"), button = make("button", undefined, { type: "button", disabled: "error" in each });
  const what = each.error ?? `${each.name}${each.label ? `, ${each.label}` : ""}`;
  button.append(make("img", undefined, { src: each.image ?? "data:,", alt: what, className: setup.small ? "pixels" : "" }));
  button.title = what;
  button.dataset.index = each.index;
  button.setAttribute("aria-pressed", String(each.index === picture?.index));
  button.addEventListener("click", () => chosen(each.index));
  item.append(button, make("span", each.error ? "cannot be read" : soft(each.label || each.name)));
  return item;
}
const list = newest(async () => {
  const found = await ask("pictures", { first, count: SHOWN, label: $("class").value });
  total = found.total;
  const last = Math.min(first + SHOWN, total);
  $("range").textContent = total ? `${first + 1} to ${last} of ${total}` : "";
  $("back").disabled = first === 0;
  $("on").disabled = last >= total;
  $("strip").replaceChildren(...[...own, ...found.pictures].map((each) => thumb(each, choose)));
});
const choose = guarded(async (index) => {
  const found = await ask("show", { index });
  if (picking) return takeDonor(found);
  show(found);
});
function show(found) {
  picture = found;
  [paint, pastes, past, maps] = [new Uint8Array(width * height), [], [], []];
  tell(null);
  $("shown").src = found.image;
  $("shown").alt = `The picture ${found.name}, as the network is shown it`;
  $("name").textContent = found.label ? `${found.name}: ${found.label}` : found.name;
  document.querySelectorAll("#strip button").forEach((each) =>
    each.setAttribute("aria-pressed", String(Number(each.dataset.index) === found.index)));
  $("nears").replaceChildren();
  changed();
}
const take = guarded(async (file) => {
  if (!file) return;
  if (file.size > setup.upload) {
    const size = Math.ceil(file.size / 2 ** 20);
    throw new Error(`${file.name} has ${size} MiB; give a file of ${setup.upload / 2 ** 20} MiB at most.`);
  }
  const address = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error(`${file.name} cannot be read by the browser.`));
    reader.readAsDataURL(file);
  });
  const found = await ask("upload", { name: file.name.slice(-300) || "picture", data: address.slice(address.indexOf(",") + 1) });
  own.unshift(found);
  if (picking) takeDonor(found); else show(found);
  list();
});

// Painting.
function remember() {
  past.push({ paint: paint.slice(), pastes: [...pastes] });
  if (past.length > MOST_UNDONE) past.shift();
}
function dab(x, y) {
  const radius = Number($("brush").value), value = tool() === "erase" ? 0 : FILLS.indexOf($("fill").value) + 1;
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(height - 1, y + radius); row++) {
    for (let column = Math.max(0, Math.ceil(x - radius)); column <= Math.min(width - 1, x + radius); column++) {
      if ((column - x) ** 2 + (row - y) ** 2 <= radius ** 2) paint[row * width + column] = value;
    }
  }
}
function line(from, to) {
  const steps = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y)) || 1;
  for (let step = 1; step <= steps; step++) {
    dab(from.x + (to.x - from.x) * step / steps, from.y + (to.y - from.y) * step / steps);
  }
}
function place(event, canvas) {
  const around = canvas.getBoundingClientRect();
  return { x: (event.clientX - around.left) / around.width * width - 0.5, y: (event.clientY - around.top) / around.height * height - 0.5 };
}
function draw() {
  const pen = $("canvas").getContext("2d");
  pen.clearRect(0, 0, width * scale, height * scale);
  if (pending) {
    pen.fillStyle = "rgba(124, 195, 240, .55)";
    paint.forEach((value, at) => { if (value) pen.fillRect(at % width * scale, Math.floor(at / width) * scale, scale, scale); });
  }
  if (!cursor) return;
  const x = (cursor.x + 0.5) * scale, y = (cursor.y + 0.5) * scale;
  for (const [colour, thick] of [["#000", 4], ["#fff", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick * Math.max(1, width * scale / 512);
    pen.beginPath();
    if (tool() === "paste" && box) pen.rect(x - (box[2] - box[0]) * scale / 2, y - (box[3] - box[1]) * scale / 2, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale);
    else pen.arc(x, y, (Number($("brush").value) + 0.5) * scale, 0, 7);
    pen.stroke();
  }
}
let still;
function changed() {
  $("undo").disabled = !past.length;
  $("clear").disabled = !pastes.length && !paint.some(Boolean);
  pending = true;
  draw();
  busy(true);
  clearTimeout(still);
  answer(++stroke);
}
function begin(event) {
  cursor = place(event, $("canvas"));
  if (tool() === "paste") return pasteAt(cursor);
  remember();
  dragged = cursor;
  $("canvas").setPointerCapture(event.pointerId);
  dab(cursor.x, cursor.y);
  changed();
}
function move(event) {
  cursor = place(event, $("canvas"));
  if (dragged) {
    line(dragged, cursor);
    dragged = cursor;
    changed();
  } else draw();
}
function key(event) {
  const far = event.shiftKey ? width / 8 : Math.max(1, width / 64);
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  cursor ??= { x: width / 2, y: height / 2 };
  if (ways[event.key]) {
    const [x, y] = ways[event.key];
    cursor = { x: within(cursor.x + x * far, 0, width - 1), y: within(cursor.y + y * far, 0, height - 1) };
  } else if (event.key === " " || event.key === "Enter") {
    if (tool() === "paste") pasteAt(cursor);
    else { remember(); dab(cursor.x, cursor.y); changed(); }
  } else if (event.key === "[" || event.key === "]") {
    $("brush").value = Number($("brush").value) + (event.key === "]" ? 1 : -1);
  } else if (event.key === "z" && !event.altKey) undo();
  else return;
  event.preventDefault();
  draw();
}
function undo() {
  const last = past.pop();
  if (!last) return;
  ({ paint, pastes } = last);
  changed();
}

// Pasting a piece of another picture.
function takeDonor(found) {
  [donor, picking] = [found, false];
  box ??= [width >> 2, height >> 2, width - (width >> 2), height - (height >> 2)];
  $("donor-shown").src = found.image;
  $("donor-shown").alt = `The other picture, ${found.name}`;
  drawDonor();
}
function drawDonor() {
  $("donor").hidden = tool() !== "paste";
  $("donor-how").textContent = picking ? "Choose the other picture in the list above."
    : `${donor?.name ?? ""}: drag a rectangle here, then click on the large picture where it is to go.`;
  document.querySelector(".donor").hidden = picking;
  $("donor-same").disabled = !donor || picking;
  if (!box) return;
  const pen = $("donor-canvas").getContext("2d");
  pen.clearRect(0, 0, width * scale, height * scale);
  pen.fillStyle = "rgba(0, 0, 0, .55)";
  pen.fillRect(0, 0, width * scale, height * scale);
  pen.clearRect(box[0] * scale, box[1] * scale, (box[2] - box[0]) * scale, (box[3] - box[1]) * scale);
}
function pasteAt({ x, y }) {
  if (!donor) return;
  paste([Math.round(x - (box[2] - box[0]) / 2), Math.round(y - (box[3] - box[1]) / 2)]);
}
function paste(corner) {
  const [x, y] = corner;
  if (x >= width || y >= height || x + box[2] - box[0] <= 0 || y + box[3] - box[1] <= 0) return;
  remember();
  pastes.push({ index: donor.index, box: [...box], corner });
  changed();
}
function rectangle(from, to) {
  const [x0, x1] = [from.x, to.x].sort((a, b) => a - b), [y0, y1] = [from.y, to.y].sort((a, b) => a - b);
  const left = within(Math.round(x0), 0, width - 1), top = within(Math.round(y0), 0, height - 1);
  box = [left, top, within(Math.round(x1), left + 1, width), within(Math.round(y1), top + 1, height)];
  drawDonor();
}
function donorKey(event) {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }, way = ways[event.key];
  if (!way || !box) return;
  event.preventDefault();
  const step = Math.max(1, Math.round(width / 32)), [x, y] = [way[0] * step, way[1] * step];
  if (event.shiftKey) box = [box[0], box[1], within(box[2] + x, box[0] + 1, width), within(box[3] + y, box[1] + 1, height)];
  else {
    const right = within(x, -box[0], width - box[2]), down = within(y, -box[1], height - box[3]);
    box = [box[0] + right, box[1] + down, box[2] + right, box[3] + down];
  }
  drawDonor();
}

// Answers.
const answer = newest(async (number) => {
  const now = picture;
  const found = await ask("answers", { index: now.index, edits: edits(), page: PAGE, stroke: number });
  if (!found || now !== picture) return;
  $("shown").src = found.image;
  document.querySelectorAll("#cards .base").forEach((each) => { each.src = found.image; });
  const said = found.answers.map(fillCard);
  $("live").textContent = soft(said.map((each) => each.replace(/ With as much .* elsewhere:/, " Elsewhere")).join("\n"));
  if (found.stroke === stroke) {  // nothing was painted meanwhile: maps can follow
    pending = false;
    lastSaid = said.join(" ");
    if (!dragged) $("said").textContent = lastSaid;
    still = setTimeout(remap, 200);
  }
  draw();
});
function sentence(found) {
  const was = found.rows.find((row) => row.class === found.before);
  if (!found.share) return [`${found.before}, ${percent(was.before)}.`, ""];
  const turned = found.after === found.before ? "" : ` Now ${found.after}, ${percent(found.rows.find((row) => row.class === found.after).after)}.`;
  return [`${found.before}: ${percent(was.before)} → ${percent(was.after)}.${turned}`,
    ` With as much (${percent(found.share)}) changed elsewhere: ${percent(was.elsewhere)}.`];
}
function fillCard(found, number) {
  const card = $("cards").children[number], [bold, rest] = sentence(found);
  card.classList.toggle("plain", !found.share);
  card.querySelector(".said").replaceChildren(make("b", bold), rest);
  card.querySelector("tbody").replaceChildren(...found.rows.map((row) => {
    const line = make("tr"), head = make("th", soft(row.class), { scope: "row" }), bars = make("div", undefined, { className: "bars" });
    const now = make("i"), was = make("b");
    now.style.width = `${100 * row.after}%`;
    was.style.left = `calc(${100 * row.before}% - 1px)`;
    bars.append(now, was);
    head.append(bars);
    line.append(head, make("td", percent(row.before), { className: "was" }), make("td", percent(row.after), { className: "now" }), make("td", percent(row.elsewhere), { className: "else" }));
    return line;
  }));
  return `${setup.models.length > 1 ? `${model(number)}: ` : ""}${bold}${rest}`;
}
function newCard(each, number) {
  const card = make("article", undefined, { className: "card plain" }), body = make("div", undefined, { className: "body" });
  const table = make("table"), head = make("tr"), figure = make("figure"), frame = make("div", undefined, { className: "frame" });
  head.append(make("th", "class", { scope: "col" }));
  for (const [name, text] of [["was", "before"], ["now", "now"], ["else", "elsewhere"]]) head.append(make("th", text, { scope: "col", className: name }));
  table.append(make("caption", `Answers of ${each.name}`, { className: "unseen" }), make("thead"), make("tbody"));
  table.tHead.append(head);
  const pixelated = setup.small ? " pixels" : "";
  frame.append(make("img", undefined, { className: `base${pixelated}`, alt: "" }), make("img", undefined, { className: "heat", alt: `Map of ${each.name}`, hidden: true }));
  figure.append(frame, make("figcaption", ""));
  body.append(figure, table);
  card.append(make("h3", each.name, { title: each.note }), make("p", "", { className: "said" }), body);
  return card;
}

// Maps, and hiding by them.
const remap = newest(async () => {
  const now = picture, sent = stroke;
  busy(true);
  try {
    for (const number of setup.models.keys()) {
      if (now !== picture || sent !== stroke) return;
      const body = { index: now.index, edits: edits(), model: number, method: $("method").value, fill: $("fill").value };
      const found = await ask("map", body);
      if (now !== picture || sent !== stroke) return;
      await fillMap(number, found);
    }
  } finally { if (sent === stroke) busy(false); }
});
function busy(whether) { document.querySelectorAll("#cards figure, #hides .body").forEach((each) => each.classList.toggle("busy", whether)); }
async function fillMap(number, found) {
  maps[number] = { ...found, pixels: await pixelsOf(found.image), hides: await pixelsOf(found.fill) };
  const figure = $("cards").children[number].querySelector("figure"), heat = figure.querySelector(".heat");
  [heat.src, heat.hidden] = [found.heat, false];
  figure.querySelector("figcaption").textContent = soft(`map for ${found.class}${found.note ? `. ${found.note}` : ""}`);
  if (number === 0) $("stage-heat").src = found.heat;
  lay();
  hide(number);
}
function lay() { $("stage-heat").hidden = !$("lay").checked || !maps[0]; }
function newPair(each) {
  const card = make("article", undefined, { className: "card" }), pair = make("div", undefined, { className: "pair" });
  const body = make("div", undefined, { className: "body" });
  for (const [kind, text] of [["salient", "by the map"], ["other", "same shape elsewhere"]]) {
    const figure = make("figure"), frame = make("div", undefined, { className: "frame" }), caption = make("figcaption", text, { className: kind });
    frame.append(make("canvas", undefined, { width, height, role: "img", className: setup.small ? "pixels" : "" }));
    figure.append(frame, caption);
    pair.append(figure);
  }
  body.append(pair, make("div"));
  card.append(make("h3", each.name), body);
  return card;
}
function hide(number) {
  const found = maps[number], step = Number($("hidden").value), card = $("hides").children[number];
  $("hidden-share").textContent = percent(setup.hidden[step]);
  if (!found) return;
  ["salient", "elsewhere"].forEach((kind, at) => {
    const { steps, answers, confidences, target } = found[kind], figure = card.querySelectorAll("figure")[at];
    const gone = bytesOf(steps), shown = new ImageData(width, height);
    gone.forEach((from, pixel) => {
      const source = from <= step ? found.hides : found.pixels;
      for (let channel = 0; channel < 4; channel++) shown.data[4 * pixel + channel] = source[4 * pixel + channel];
    });
    const canvas = figure.querySelector("canvas");
    canvas.getContext("2d").putImageData(shown, 0, 0);
    canvas.setAttribute("aria-label", `${percent(setup.hidden[step])} hidden, ${kind}`);
    const turned = answers[step] === found.class ? "" : `; answers ${answers[step]}, ${percent(confidences[step])}`;
    const name = kind === "salient" ? "by the map" : `same shape elsewhere (mean of ${setup.blobs})`;
    figure.querySelector("figcaption").replaceChildren(name, make("b", soft(`${found.class}: ${percent(target[step])}${turned}`)));
  });
  card.querySelector(".body").lastElementChild.replaceChildren(curve(found, step));
}
function curve(found, step) {
  const svg = (tag, values, ...inside) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const last = setup.hidden.at(-1), x = (share) => 34 + 290 * share / last, y = (share) => 96 - 86 * share;
  const lines = [["salient", "salient", "map"], ["elsewhere", "other", "elsewhere"]].map(([kind, name, text]) => {
    const values = found[kind].target, end = y(values.at(-1));
    return { name, text, end, points: values.map((value, at) => `${x(setup.hidden[at])},${y(value)}`).join(" "), at: values[step] };
  });
  if (Math.abs(lines[0].end - lines[1].end) < 13) {
    const low = lines[0].end > lines[1].end ? 0 : 1, middle = within((lines[0].end + lines[1].end) / 2, 16, 90);
    [lines[low].end, lines[1 - low].end] = [middle + 6.5, middle - 6.5];
  }
  const label = `Probability of ${found.class} as more is hidden`;
  return svg("svg", { viewBox: "0 0 400 116", class: "curve", role: "img", "aria-label": label },
    ...[0, 0.5, 1].flatMap((share) => [svg("line", { class: "axis", x1: 34, x2: 324, y1: y(share), y2: y(share) }),
      svg("text", { x: 29, y: y(share) + 4, "text-anchor": "end" }, percent(share).replace(" %", ""))]),
    ...[0, 0.2, 0.4, 0.6, 0.8].map((share) => svg("text", { x: x(share), y: 112, "text-anchor": "middle" }, `${Math.round(100 * share)} %`)),
    svg("line", { class: "at", x1: x(setup.hidden[step]), x2: x(setup.hidden[step]), y1: 10, y2: 96 }),
    ...lines.map((each) => svg("g", { class: each.name }, svg("polyline", { points: each.points }),
      svg("circle", { cx: x(setup.hidden[step]), cy: y(each.at), r: 3.5 }), svg("text", { x: 330, y: each.end + 4 }, each.text))));
}

// Neighbours, and what is kept.
const findNear = guarded(async () => {
  $("near-find").disabled = true;
  $("nears").replaceChildren(make("li", "Searching …"));
  try {
    const found = await ask("neighbours", { index: picture.index, edits: edits(), model: Number($("near-model").value) });
    $("nears").replaceChildren(...found.pictures.map((each) => {
      const item = make("li");
      item.append(make("img", undefined, { src: each.image ?? "data:,", alt: each.name ?? each.error, className: setup.small ? "pixels" : "" }),
        make("span", soft(`${each.label ?? ""} ${each.similarity.toFixed(2)}`)));
      return item;
    }));
  } catch (error) { $("nears").replaceChildren(); throw error; } finally { $("near-find").disabled = false; }
});
const keep = guarded(async () => {
  for (const number of setup.models.keys()) kept.push(await ask("place", { index: picture.index, edits: edits(), model: number }));
  listKept();
});
function listKept() {
  $("save-places").disabled = !kept.length;
  $("save-places").textContent = kept.length ? `Save places (${kept.length})` : "Save places";
  $("places").replaceChildren(...kept.map((each, at) => {
    const { before, after, elsewhere } = each.answers, item = make("li");
    const drop = make("button", "Remove", { type: "button" });
    drop.addEventListener("click", () => { kept.splice(at, 1); listKept(); });
    item.append(`${each.label} by ${each.run}: ${percent(before)} → ${percent(after)}, elsewhere ${percent(elsewhere)}`, drop);
    return item;
  }));
}
function save(address, name) {
  const link = make("a", undefined, { href: address, download: name });
  link.click();
}
function savePlaces() {
  const text = JSON.stringify({ format: "overfocus places", version: 1, places: kept }, null, 1);
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  save(address, "places.json");
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
const saveSheet = guarded(async () => {
  $("save-sheet").disabled = true;
  try {
    const found = await ask("sheet", { index: picture.index, edits: edits(), method: $("method").value });
    save(found.image, "overfocus.png");
  } finally { $("save-sheet").disabled = false; }
});

// The page.
function options(select, rows, chosen) {
  select.append(...rows.map(({ value, text }) => make("option", text, { value, selected: value === chosen })));
}
function fitCanvas(canvas) {
  [canvas.width, canvas.height] = [width * scale, height * scale];
}
function listen() {
  const canvas = $("canvas"), other = $("donor-canvas");
  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => {
    dragged = null;
    if (!pending) $("said").textContent = lastSaid;
  });
  canvas.addEventListener("pointerleave", () => { if (!dragged) { cursor = null; draw(); } });
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) { cursor ??= { x: width / 2, y: height / 2 }; draw(); } });
  let corner = null;
  other.addEventListener("pointerdown", (event) => { corner = place(event, other); other.setPointerCapture(event.pointerId); });
  other.addEventListener("pointermove", (event) => { if (corner) rectangle(corner, place(event, other)); });
  other.addEventListener("pointerup", () => { corner = null; });
  other.addEventListener("keydown", donorKey);
  document.querySelectorAll("input[name=tool]").forEach((each) => each.addEventListener("change", () => {
    picking = tool() === "paste" && !donor;
    drawDonor();
  }));
  $("donor-pick").addEventListener("click", () => { picking = true; drawDonor(); });
  $("donor-same").addEventListener("click", () => paste([box[0], box[1]]));
  $("undo").addEventListener("click", undo);
  $("clear").addEventListener("click", () => { remember(); paint.fill(0); pastes = []; changed(); });
  $("class").addEventListener("change", () => { first = 0; list(); });
  $("back").addEventListener("click", () => { first = Math.max(0, first - SHOWN); list(); });
  $("on").addEventListener("click", () => { first += SHOWN; list(); });
  $("file").addEventListener("change", (event) => { take(event.target.files[0]); event.target.value = ""; });
  $("method").addEventListener("change", () => { describe(); remap(); });
  $("fill").addEventListener("change", () => remap());
  $("lay").addEventListener("change", lay);
  $("strength").addEventListener("input", () => document.documentElement.style.setProperty("--heat", $("strength").value / 100));
  $("hidden").addEventListener("input", () => setup.models.forEach((_, number) => hide(number)));
  $("near-find").addEventListener("click", findNear);
  $("keep-place").addEventListener("click", keep);
  $("save-places").addEventListener("click", savePlaces);
  $("save-sheet").addEventListener("click", saveSheet);
  $("fault").lastElementChild.addEventListener("click", () => tell(null));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  for (const end of ["dragleave", "drop"]) document.addEventListener(end, () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
}
function describe() { $("method-what").textContent = setup.methods.find((each) => each.name === $("method").value).what; }
const start = guarded(async () => {
  setup = await ask("setup", {});
  [height, width] = setup.size;
  setup.small = Math.max(width, height) < 100;
  scale = Math.max(1, Math.ceil(512 / Math.max(width, height)));
  paint = new Uint8Array(width * height);
  $("title").textContent = `${setup.title}. Nothing leaves this machine.`;
  $("brush").max = Math.ceil(Math.max(width, height) / 4);
  $("brush").value = Math.ceil(Math.max(width, height) / 12);
  [$("canvas"), $("donor-canvas")].forEach(fitCanvas);
  [$("shown"), $("donor-shown")].forEach((each) => { each.classList.toggle("pixels", setup.small); [each.width, each.height] = [width, height]; });
  options($("fill"), setup.fills.map(({ name, what }) => ({ value: name, text: what })));
  options($("method"), setup.methods.map(({ name }) => ({ value: name, text: name })), "hirescam");
  options($("class"), setup.classes.map((each) => ({ value: each, text: each })));
  options($("near-model"), setup.models.map(({ name }, value) => ({ value, text: name })));
  $("near-label").hidden = setup.models.length < 2;
  $("near").hidden = !setup.trained_on;
  $("class-label").hidden = document.querySelector(".pager").hidden = !setup.count;
  $("cards").append(...setup.models.map(newCard));
  $("hides").append(...setup.models.map(newPair));
  $("hidden").max = setup.hidden.length - 1;
  $("hidden").value = setup.hidden.indexOf(0.2);
  const notes = [...setup.models.filter((each) => each.note).map((each) => `${each.name}: ${each.note}`), ...setup.notes];
  $("notes").append(...notes.map((each) => make("li", each)));
  describe();
  listen();
  if (setup.count) { await list(); await choose(0); } else $("title").textContent += " Drop a photograph to begin.";
});
start();

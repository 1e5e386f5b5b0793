// The page's state, and what follows from its changes.

import { get, post, servedAs } from "./api.js";
import { Chart } from "./chart.js";
import { at, iou, mean, meanSteps, pixels, shown, steps } from "./figures.js";
import { Gallery } from "./gallery.js";
import { Masks } from "./masks.js";
import { Regions } from "./regions.js";
import { Search } from "./search.js";
import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const TEXT = ""; // the class of a text that is none
const lines = (text) => [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];

const start = await get("/api/workspace").then((answer) => answer.json()).catch((error) => {
  blame("page", error.message);
  throw error;
});
servedAs(start.version);
const state = {
  image: "", name: Object.keys(start.settings.classes)[0], settings: structuredClone(start.settings),
  threshold: null, show: "all", kept: -1, pointed: -1,
};
let regions, scored, best, truth;
let wanted = { image: "", settings: state.settings }; // what was asked for last

const viewer = new Viewer(onMask, (mask) => masks.describe(mask, scored));
const masks = new Masks(onMask);
const chart = new Chart(setThreshold);
const search = new Search(guard, linkTo);
const gallery = new Gallery(start.images, onCurves);
gallery.linkTo = (image) => linkTo(image);

const names = () => Object.keys(state.settings.classes);
const column = () => (state.name === TEXT ? names().length : names().indexOf(state.name));
const measured = () => start.measured.includes(state.name);
const inputs = () => document.querySelectorAll("input[name=show]");

// A text that nobody has written yet has no scores.
const untold = () => state.name === TEXT && !state.settings.text.length;
const scores = () => scored.scores.map((row) => row[column()] ?? -Infinity);
const eligible = () => scored.eligible.map((row) => row[column()] ?? true);
const spread = () => scored.spread[column()] ?? [0, 1];
const middle = ([low, high]) => (low + high) / 2;
const addressed = () => new URLSearchParams(location.hash.slice(1));
// The pipeline's threshold of the class, as long as scores are the pipeline's.
const calibrated = () => (state.settings.scores.scoring === start.settings.scores.scoring
  ? start.thresholds[state.name] : undefined);

// Say what is wrong with the page or with the ranking; "" takes it back.
function blame(what, message) {
  const problem = $("problem");
  problem.dataset[what] = message;
  problem.textContent = Object.values(problem.dataset).filter(Boolean).join(" ");
  problem.hidden = !problem.textContent;
}

function guard(promise, what = "page") {
  return promise.then(() => blame(what, ""), (error) => blame(what, error.message));
}

function linkTo(image, mask) {
  const parts = { image, class: state.name };
  if (mask !== undefined) parts.mask = mask;
  return `#${new URLSearchParams(parts)}`;
}

// An image and its masks, from the address.
async function open() {
  const asked = addressed();
  const image = asked.get("image") ?? gallery.order[0];
  if (asked.has("class") && asked.get("class") !== state.name) chooseClass(asked.get("class"));
  view("images");
  if (image !== wanted.image) return void (await ask({ image }));
  if (image !== state.image) return; // its answer is on its way
  keepAddressed();
  refresh();
}

function keepAddressed() {
  const mask = addressed().get("mask");
  state.kept = regions.masks.findIndex(({ id }) => id === mask);
  state.pointed = -1;
}

// Show another image, or this one with other settings; whether that came to pass. An answer that
// comes when something else is wanted is dropped: image, scores and settings are of one question.
async function ask(changes) {
  const own = (wanted = { ...wanted, ...changes }), { image, settings } = own;
  const moved = image !== state.image;
  try {
    const [buffer, answer] = await Promise.all([
      moved && get(`/api/image?${new URLSearchParams({ image })}`).then((found) => found.arrayBuffer()),
      post("/api/scores", own),
    ]);
    if (own !== wanted) return false;
    if (moved) show(image, new Regions(buffer));
    take(settings, answer);
    return true;
  } catch (error) {
    if (own !== wanted) return false;
    wanted = { image: state.image, settings: state.settings };
    throw error;
  }
}

function show(image, found) {
  [state.image, regions] = [image, found];
  viewer.open(image, regions);
  masks.open(image, regions);
  gallery.choose(image);
  $("image-title").textContent = image;
  keepAddressed();
}

function take(settings, answer) {
  const before = state.settings;
  scored = answer;
  state.settings = settings;
  if (settings.scores.scoring !== before.scores.scoring) { // the old threshold means nothing among them
    state.threshold = calibrated() ?? middle(spread());
  }
  state.threshold ??= scored.adaptive?.[column()] ?? middle(spread());
  refresh();
  if (settings !== before) guard(measure(), "ranking");
}

// Everything of the image that follows from its scores.
function refresh() {
  const own = scores(), chosen = eligible();
  best = regions.best(own.map((score, mask) => (chosen[mask] ? score : -Infinity)));
  truth = measured() ? regions.truthOf(state.name) : null;
  document.body.classList.toggle("unmeasured", !truth);
  $("hit-name").textContent = truth ? "hit" : "predicted";
  if (truth) viewer.paintTruth(truth, state.name);
  masks.list(own, chosen);
  showAdaptive();
  drawChart(own);
  draw();
  showMask();
}

// The threshold that the pipeline's rule, which looks at each image, takes in this one.
function showAdaptive() {
  const found = scored.adaptive?.[column()];
  $("adaptive").hidden = found === undefined;
  if (found !== undefined) $("adaptive").textContent = `${start.rule} in this image: ${shown(found, 4)}`;
}

function drawChart(own) {
  let [low, high] = spread();
  low = Math.min(low, ...own.filter(Number.isFinite));
  high = Math.max(high, ...own);
  const margin = (high - low) * 0.03 || 0.01;
  [low, high] = [low - margin, high + margin];
  Object.assign($("threshold"), { min: low, max: high });
  $("threshold").value = state.threshold;
  const curve = truth && regions.curve(best, truth);
  chart.draw(curve?.true ? steps(curve) : [], truth ? meanSteps(gallery.known) : [], low, high);
}

// Everything that follows the threshold; it must be quick.
function draw() {
  const counts = regions.counts(best, truth, state.threshold);
  viewer.paint(best, truth, state.threshold, state.show);
  masks.mark(state.threshold);
  const value = truth && counts.true ? iou(counts) : NaN;
  chart.mark(state.threshold, value);
  $("figure").textContent = !truth ? `${pixels(counts.predicted)} px`
    : counts.true ? `IoU ${shown(value, 3)}` : `no ${state.name} here`;
  $("hit-count").textContent = pixels(truth ? counts.tp : counts.predicted);
  $("miss-count").textContent = pixels(counts.true - counts.tp);
  $("false-count").textContent = pixels(counts.predicted - counts.tp);
  if (document.activeElement !== $("number")) $("number").value = Number(state.threshold.toFixed(4));
  $("threshold").setAttribute("aria-valuetext", `${shown(state.threshold, 3)}, ${$("figure").textContent}`);
  drawMean();
}

function drawMean() {
  const curves = gallery.known, part = $("part").value;
  $("mean-name").textContent = `mean of ${part === "all" ? "all images" : `the ${part} part`}`;
  const value = mean(curves, state.threshold), shows = curves.filter((curve) => curve.true).length;
  $("mean").textContent = !truth ? "" : gallery.loading ? "measuring the other images …"
    : `Mean IoU ${shown(value, 3)} over the ${shows} images that show ${state.name}`;
}

let ranking;
function setThreshold(threshold) {
  state.threshold = threshold;
  $("threshold").value = threshold;
  if (regions) draw();
  clearTimeout(ranking); // the cards may wait until the slider rests
  ranking = setTimeout(() => gallery.rank(state.threshold, state.show), 120);
}

function onCurves(last) {
  gallery.rank(state.threshold, state.show);
  if (!regions) return;
  if (last) drawChart(scores());
  draw();
}

async function measure() {
  if (untold()) gallery.forget();
  else await gallery.load(column(), structuredClone(state.settings), measured());
}

function onMask(mask, kept) {
  if (kept) {
    state.kept = state.kept === mask ? -1 : mask;
    state.pointed = -1;
  } else state.pointed = mask;
  showMask();
}

function showMask() {
  const mask = state.pointed >= 0 ? state.pointed : state.kept;
  masks.show(mask, mask >= 0 && mask === state.kept, scored);
  viewer.outline(mask);
}

function chooseClass(name) {
  if (name !== TEXT && !names().includes(name)) return;
  state.name = name;
  state.threshold = calibrated() ?? state.threshold;
  $("class").value = name;
  $("prompts").value = (name === TEXT ? state.settings.text : state.settings.classes[name]).join("\n");
  blame("page", "");
  guard(measure(), "ranking");
}

// Take over what the fields say, if the server can.
async function apply() {
  const settings = structuredClone(wanted.settings), prompts = lines($("prompts").value);
  if (!prompts.length) throw new Error("prompts: write at least one, such as “a red chair”");
  if (state.name === TEXT) settings.text = prompts; else settings.classes[state.name] = prompts;
  settings.scores.scoring = $("scoring").value;
  settings.scores.negative_prompts = lines($("negatives").value);
  settings.scores.temperature = Number($("temperature").value);
  $("apply").disabled = true;
  try {
    await ask({ settings });
  } finally {
    $("apply").disabled = false;
  }
}

function showSettings() {
  const { scoring, negative_prompts: negatives, temperature } = state.settings.scores;
  $("scoring").value = scoring;
  $("negatives").value = negatives.join("\n");
  $("temperature").value = temperature;
  $("softmax").hidden = scoring === "cosine";
}

async function reset() {
  if (!(await ask({ settings: structuredClone(start.settings) }))) return;
  showSettings();
  chooseClass(state.name === TEXT ? names()[0] : state.name);
  refresh();
}

async function copy() {
  const threshold = Number(state.threshold.toFixed(4));
  setThreshold(threshold); // what is seen is what the line says
  const text = state.name === TEXT ? state.settings.text : []; // it concerns no class
  const settings = { ...state.settings, text };
  const { line } = await post("/api/experiment", { settings, threshold });
  $("line").textContent = line;
  $("line").hidden = false;
  try {
    await navigator.clipboard.writeText(line);
    $("copy").textContent = "Copied";
  } catch { // not allowed: the line can be selected
    getSelection().selectAllChildren($("line"));
  }
  setTimeout(() => { $("copy").textContent = "Copy as experiment"; }, 2000);
}

function view(name) {
  for (const each of ["images", "search"]) {
    $(`${each}-view`).hidden = each !== name;
    $(`tab-${each}`).setAttribute("aria-pressed", each === name);
  }
}

function step(by) {
  const image = gallery.neighbour(state.image, by);
  if (image !== undefined) location.hash = linkTo(image);
}

function fill() {
  for (const name of names()) $("class").add(new Option(name, name));
  $("class").add(new Option("any text (no ground truth)", TEXT));
  for (const scoring of start.scorings) $("scoring").add(new Option(scoring, scoring));
  if (!start.images.some(({ test }) => !test)) $("part").value = "all";
  const rule = start.rule ? `; the pipeline's threshold: ${start.rule}` : "";
  $("summary").textContent =
    `${pixels(start.images.length)} images, ${pixels(start.masks)} masks${rule}`;
  $("note").hidden = !start.note;
  $("note").textContent = start.note ?? "";
}

function listen() {
  const on = (id, event, handler) => $(id).addEventListener(event, handler);
  on("tab-images", "click", () => view("images"));
  on("tab-search", "click", () => { view("search"); $("query").focus(); });
  on("threshold", "input", () => setThreshold(Number($("threshold").value)));
  on("number", "input", () => {
    const value = $("number").valueAsNumber;
    if (value >= -1 && value <= 1) setThreshold(value);
  });
  on("class", "change", () => {
    const name = $("class").value;
    chooseClass(name);
    if (!regions) return; // the first image, which is on its way, will be drawn
    history.replaceState(null, "", linkTo(state.image)); // a reload keeps it
    refresh();
    if (untold()) $("prompts").focus();
  });
  on("scoring", "change", () => { $("softmax").hidden = $("scoring").value === "cosine"; });
  on("apply", "click", () => guard(apply()));
  on("reset", "click", () => guard(reset()));
  for (const id of ["prompts", "negatives"]) {
    on(id, "keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      guard(apply());
    });
  }
  for (const id of ["order", "part"]) {
    on(id, "change", () => {
      if (id === "part") guard(measure(), "ranking");
      gallery.rank(state.threshold, state.show);
    });
  }
  for (const input of inputs()) {
    input.addEventListener("change", () => {
      state.show = input.value;
      draw();
      gallery.rank(state.threshold, state.show);
    });
  }
  on("adaptive", "click", () => setThreshold(scored.adaptive[column()]));
  on("copy", "click", () => guard(copy()));
  on("similar", "click", () => {
    const mask = state.kept >= 0 ? state.kept : masks.shownMask;
    view("search");
    search.like(state.image, regions.masks[mask].id);
  });
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("outline", "keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    state.kept = masks.neighbour(state.kept, by);
    state.pointed = -1;
    showMask();
  });
  addEventListener("keydown", (event) => {
    if (event.target.matches("input, textarea, select")) return;
    if (event.key === "[") step(-1);
    else if (event.key === "]") step(1);
    else if (event.key === "Escape") { state.kept = state.pointed = -1; showMask(); }
  });
  addEventListener("hashchange", () => guard(open()));
  addEventListener("click", (event) => { // to where one is already, which changes no hash
    const hash = event.target.closest("a")?.hash;
    if (hash && hash === location.hash) guard(open());
  });
}

fill();
showSettings();
listen();
chooseClass(state.name);
gallery.rank(state.threshold, state.show);
await guard(open());

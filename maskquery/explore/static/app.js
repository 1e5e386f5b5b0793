// @ts-check
// The page's state, and what follows from its changes.

import { get, post, servedAs } from "./api.js";
import { Chart } from "./chart.js";
import { $, bounded, button, input, select, textarea } from "./dom.js";
import { format, iou, mean, meanSteps, pixels, steps } from "./figures.js";
import * as form from "./form.js";
import { Gallery } from "./gallery.js";
import { Masks } from "./masks.js";
import { Regions } from "./regions.js";
import { Search } from "./search.js";
import { Viewer } from "./viewer.js";

/**
 * @typedef {import("./api.js").Settings} Settings
 * @typedef {import("./api.js").Scored} Scored
 * @typedef {{image: string, settings: Settings}} Question
 */

const { TEXT } = form;

/** @type {import("./api.js").Workspace} */
const start = await get("/api/workspace").then((answer) => answer.json()).catch((error) => {
  blame("page", error.message);
  throw error;
});
servedAs(start.version);

const state = {
  image: "", name: Object.keys(start.settings.classes)[0], settings: structuredClone(start.settings),
  threshold: NaN, show: "all", kept: -1, pointed: -1,
  untouched: true, // nobody has done anything yet
};
/** @type {Regions | null} */
let regions = null;
/** @type {Scored | null} */
let scored = null;
let best = new Float32Array();
/** @type {Uint8Array | null} */
let truth = null;
/** @type {Question} what was asked for last */
let wanted = { image: "", settings: state.settings };

const viewer = new Viewer(onMask, (mask) => (scored ? masks.describe(mask, scored) : ""));
const masks = new Masks(onMask);
const chart = new Chart(setThreshold);
const search = new Search(guard, linkTo);
const gallery = new Gallery(start.images, onCurves, linkTo);

const names = () => Object.keys(state.settings.classes);
const column = () => (state.name === TEXT ? names().length : names().indexOf(state.name));
const isMeasured = () => start.measured.includes(state.name);
const isUnwritten = () => state.name === TEXT && !state.settings.text.length;

// A text that nobody has written yet has no scores.
const scores = () => scored?.scores.map((row) => row[column()] ?? -Infinity) ?? [];
const reasons = () => scored?.left_out.map((row) => start.reasons[row[column()] ?? 0]) ?? [];
const spread = () => scored?.spread[column()] ?? [0, 1];
const middle = () => (spread()[0] + spread()[1]) / 2;
const addressed = () => new URLSearchParams(location.hash.slice(1));

/** The pipeline's threshold of the class, as long as scores are the pipeline's; NaN if none. */
function pipelineThreshold() {
  if (state.settings.scores.scoring !== start.settings.scores.scoring) return NaN;
  if (state.name === TEXT) return start.text_threshold ?? NaN; // that of `maskquery find`
  return Object.hasOwn(start.thresholds, state.name) ? start.thresholds[state.name] : NaN;
}

/**
 * The first that is a number.
 * @param {(number | undefined)[]} values
 */
const first = (...values) => values.find((value) => value !== undefined && !Number.isNaN(value)) ?? NaN;

/**
 * Say what is wrong with the page or with the ranking; "" takes it back.
 * @param {"page" | "ranking"} about
 * @param {string} message
 */
function blame(about, message) {
  const problem = $("problem");
  problem.dataset[about] = message;
  problem.textContent = Object.values(problem.dataset).filter(Boolean).join(" ");
  problem.hidden = !problem.textContent;
}

/**
 * @param {Promise<unknown>} promise
 * @param {"page" | "ranking"} about
 */
function guard(promise, about = "page") {
  return promise.then(() => blame(about, ""), (error) => blame(about, error.message));
}

/**
 * @param {string} image
 * @param {string} [mask]
 */
function linkTo(image, mask) {
  return `#${new URLSearchParams({ image, class: state.name, ...(mask === undefined ? {} : { mask }) })}`;
}

/** Open what the address names: an image, a class, a mask. */
async function open() {
  const asked = addressed(), name = asked.get("class");
  const image = asked.get("image") ?? gallery.order[0];
  if (image === undefined) return;
  if (name !== null && name !== state.name) chooseClass(name);
  view("images");
  if (image !== wanted.image) return void (await ask({ image }));
  if (image !== state.image) return; // its answer is on its way
  keepAddressed();
  refresh();
}

function keepAddressed() {
  const mask = addressed().get("mask");
  state.kept = regions?.masks.findIndex(({ id }) => id === mask) ?? -1;
  state.pointed = -1;
}

/**
 * Show another image, or this one with other settings; whether that came to pass. An answer that
 * comes when something else is wanted is dropped: image, scores and settings are of one question.
 * @param {Partial<Question>} changes
 */
async function ask(changes) {
  const question = (wanted = { ...wanted, ...changes }), { image, settings } = question;
  const moved = image !== state.image;
  try {
    const [buffer, answer] = await Promise.all([
      moved && get(`/api/image?${new URLSearchParams({ image })}`).then((file) => file.arrayBuffer()),
      post("/api/scores", question),
    ]);
    if (question !== wanted) return false;
    if (buffer) show(image, new Regions(buffer));
    take(settings, answer);
    return true;
  } catch (error) {
    if (question !== wanted) return false;
    wanted = { image: state.image, settings: state.settings };
    throw error;
  }
}

/**
 * @param {string} image
 * @param {Regions} opened
 */
function show(image, opened) {
  [state.image, regions] = [image, opened];
  viewer.open(image, opened);
  masks.open(image, opened);
  gallery.choose(image);
  $("image-title").textContent = image;
  keepAddressed();
}

/**
 * @param {Settings} settings
 * @param {Scored} answer
 */
function take(settings, answer) {
  const before = state.settings;
  scored = answer;
  state.settings = settings;
  if (settings.scores.scoring !== before.scores.scoring) state.threshold = pipelineThreshold(); // the other is of other scores
  state.threshold = first(state.threshold, answer.adaptive?.[column()], middle());
  refresh();
  if (settings === before) return;
  forgetLine();
  guard(measure(), "ranking");
}

/** Everything of the image that follows from its scores. */
function refresh() {
  if (!regions || !scored) return;
  const each = scores(), out = reasons();
  best = regions.best(each.map((score, mask) => (out[mask] ? -Infinity : score)));
  truth = isMeasured() ? regions.truthOf(state.name) : null;
  document.body.classList.toggle("unmeasured", !truth);
  $("tp-name").textContent = truth ? "true positive" : "predicted";
  if (truth) viewer.paintTruth(truth, state.name);
  masks.list(each, out);
  showAdaptive();
  drawChart();
  draw();
  showMask();
}

/** The threshold that the pipeline's rule, which looks at each image, takes in this one. */
function showAdaptive() {
  const value = scored?.adaptive?.[column()];
  button("adaptive").hidden = value === undefined;
  if (value !== undefined) button("adaptive").textContent = `${start.rule} in this image: ${format(value, 4)}`;
}

function drawChart() {
  const each = scores().filter(Number.isFinite);
  let [low, high] = spread();
  low = Math.min(low, ...each);
  high = Math.max(high, ...each);
  const margin = (high - low) * 0.03 || 0.01;
  [low, high] = [low - margin, high + margin];
  Object.assign(input("threshold"), { min: String(low), max: String(high), value: String(state.threshold) });
  const curve = truth && regions?.curve(best, truth);
  const image = curve?.true ? steps(curve) : [], mean = truth ? meanSteps(gallery.known) : [];
  chart.draw(image, mean, low, high);
  document.body.classList.toggle("without-curves", !image.length && !mean.length && !gallery.loading);
}

/** Everything that follows the threshold; it must be quick. */
function draw() {
  if (!regions) return;
  const counts = regions.counts(best, truth, state.threshold);
  viewer.paint(best, truth, state.threshold, state.show);
  masks.mark(state.threshold);
  const value = truth && counts.true ? iou(counts) : NaN;
  chart.mark(state.threshold, value);
  const figure = !truth ? `${pixels(counts.predicted)} px`
    : counts.true ? `IoU ${format(value, 3)}` : `no ${state.name} here`;
  $("figure").textContent = figure;
  $("tp-count").textContent = pixels(truth ? counts.tp : counts.predicted);
  $("fn-count").textContent = pixels(counts.true - counts.tp);
  $("fp-count").textContent = pixels(counts.predicted - counts.tp);
  if (document.activeElement !== input("number")) showNumber();
  input("threshold").setAttribute("aria-valuetext", `${format(state.threshold, 3)}, ${figure}`);
  drawMean();
}

function showNumber() {
  input("number").value = String(Number(state.threshold.toFixed(4)));
}

function drawMean() {
  const curves = gallery.known, split = select("split").value;
  $("mean-name").textContent = `mean of ${split === "all" ? "all images" : `the ${split} split`}`;
  const value = mean(curves, state.threshold), count = curves.filter((curve) => curve.true).length;
  $("mean").textContent = !truth ? "" : gallery.loading ? "measuring the other images …"
    : !count ? `No image of these shows ${state.name}.`
    : `Mean IoU ${format(value, 3)} over the ${count} ${count === 1 ? "image that shows" : "images that show"} ${state.name}`;
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let ranking;

/** @param {number} threshold */
function setThreshold(threshold) {
  state.threshold = threshold;
  forgetLine();
  input("threshold").value = String(threshold);
  if (regions) draw();
  clearTimeout(ranking); // the cards may wait until the slider rests
  ranking = setTimeout(() => gallery.rank(state.threshold, state.show), 120);
}

/** @param {boolean} last */
function onCurves(last) {
  gallery.rank(state.threshold, state.show);
  // The page opens with the first of its list, which is known when all are measured.
  const leader = gallery.order[0];
  if (last && state.untouched && leader !== undefined && leader !== wanted.image && !addressed().has("image")) {
    guard(ask({ image: leader }));
  }
  if (last) state.untouched = false;
  if (!regions) return;
  if (last) drawChart();
  draw();
}

async function measure() {
  if (isUnwritten()) gallery.forget();
  else await gallery.load(column(), state.settings, isMeasured());
}

/**
 * @param {number} mask
 * @param {boolean} kept
 */
function onMask(mask, kept) {
  if (kept) {
    state.kept = mask === state.kept ? -1 : mask;
    state.pointed = -1;
  } else {
    state.pointed = mask;
  }
  showMask();
}

function showMask() {
  const mask = state.pointed >= 0 ? state.pointed : state.kept;
  masks.show(mask, mask >= 0 && mask === state.kept, scored);
  viewer.outline(mask);
}

/** @param {string} name */
function chooseClass(name) {
  if (name !== TEXT && !names().includes(name)) return;
  state.name = name;
  state.threshold = first(pipelineThreshold(), state.threshold);
  forgetLine();
  form.showPrompts(state.settings, name);
  showTruth();
  blame("page", "");
  guard(measure(), "ranking");
}

/** What there is no ground truth for is said, and cannot be asked for. */
function showTruth() {
  const measured = isMeasured();
  document.body.classList.toggle("unmeasured", !measured);
  $("no-truth").textContent = state.name === TEXT
    ? "A text has no ground truth: pixels are counted, and no IoU."
    : `There is no ground truth of ${state.name}: pixels are counted, and no IoU.`;
  if (measured) return;
  state.show = "all";
  for (const choice of shows()) choice.checked = choice.value === "all";
}

/** @returns {NodeListOf<HTMLInputElement>} */
const shows = () => document.querySelectorAll("input[name=show]");

/** Take over what the fields say, if the server can. */
async function apply() {
  const settings = form.read(wanted.settings, state.name);
  button("apply").disabled = true;
  try {
    await ask({ settings });
  } finally {
    button("apply").disabled = false;
  }
}

async function reset() {
  if (!(await ask({ settings: structuredClone(start.settings) }))) return;
  form.showScoring(state.settings);
  chooseClass(state.name === TEXT ? names()[0] : state.name);
  refresh();
}

function forgetLine() {
  $("line").hidden = true;
}

async function copy() {
  const threshold = Number(state.threshold.toFixed(4));
  setThreshold(threshold); // what is seen is what the line says
  const text = state.name === TEXT ? state.settings.text : []; // it concerns no class
  const settings = { ...state.settings, text };
  const { line } = await post("/api/experiment", { settings, threshold });
  if (threshold !== state.threshold || settings.classes !== state.settings.classes) return; // it is of before
  $("line").textContent = line;
  $("line").hidden = false;
  try {
    await navigator.clipboard.writeText(line);
    button("copy").textContent = "Copied";
  } catch { // not allowed: the line can be selected
    getSelection()?.selectAllChildren($("line"));
  }
  setTimeout(() => { button("copy").textContent = "Copy as experiment"; }, 2000);
}

/** @param {"images" | "search"} name */
function view(name) {
  for (const each of ["images", "search"]) {
    $(`${each}-view`).hidden = each !== name;
    $(`tab-${each}`).setAttribute("aria-pressed", String(each === name));
  }
}

/** @param {number} by */
function step(by) {
  const image = gallery.neighbour(state.image, by);
  if (image !== undefined) location.hash = linkTo(image);
}

function summarize() {
  const rule = start.rule ? `; the pipeline's threshold: ${start.rule}` : "";
  const count = start.images.length;
  $("summary").textContent = `${pixels(count)} ${count === 1 ? "image" : "images"}, ${pixels(start.masks)} masks${rule}`;
  $("note").hidden = !start.note;
  $("note").textContent = start.note ?? "";
  document.body.classList.toggle("without-images", !count);
}

function listen() {
  /** @type {(id: string, event: string, handler: (event: Event) => void) => void} */
  const on = (id, event, handler) => $(id).addEventListener(event, handler);
  on("tab-images", "click", () => view("images"));
  on("tab-search", "click", () => { view("search"); input("query").focus(); });
  on("threshold", "input", () => setThreshold(input("threshold").valueAsNumber));
  on("number", "input", () => {
    const field = input("number");
    if (field.validity.valid && !Number.isNaN(field.valueAsNumber)) setThreshold(field.valueAsNumber);
  });
  on("number", "change", () => {
    const value = bounded(input("number"));
    if (Number.isNaN(value)) showNumber(); else setThreshold(value);
  });
  on("class", "change", () => {
    chooseClass(select("class").value);
    if (!regions) return; // the first image, which is on its way, will be drawn
    history.replaceState(null, "", linkTo(state.image)); // a reload keeps it
    refresh();
    if (isUnwritten()) textarea("prompts").focus();
  });
  on("apply", "click", () => guard(apply()));
  on("reset", "click", () => guard(reset()));
  for (const id of ["prompts", "negatives"]) {
    textarea(id).addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey) return;
      event.preventDefault();
      guard(apply());
    });
  }
  on("order", "change", () => gallery.rank(state.threshold, state.show));
  on("split", "change", () => {
    guard(measure(), "ranking");
    gallery.rank(state.threshold, state.show);
  });
  for (const choice of shows()) {
    choice.addEventListener("change", () => {
      state.show = choice.value;
      draw();
      gallery.rank(state.threshold, state.show);
    });
  }
  on("adaptive", "click", () => setThreshold(scored?.adaptive?.[column()] ?? state.threshold));
  on("copy", "click", () => guard(copy()));
  on("similar", "click", () => {
    const mask = regions?.masks[state.kept >= 0 ? state.kept : masks.shownMask];
    if (!mask) return;
    view("search");
    search.like(state.image, mask.id);
  });
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  $("outline").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    state.kept = masks.neighbour(state.kept, by);
    state.pointed = -1;
    showMask();
  });
  addEventListener("keydown", (event) => {
    if (event.target instanceof Element && event.target.matches("input, textarea, select")) return;
    if (event.key === "[") step(-1);
    else if (event.key === "]") step(1);
    else if (event.key === "Escape") { state.kept = state.pointed = -1; showMask(); }
  });
  for (const event of ["pointerdown", "keydown", "wheel"]) {
    addEventListener(event, () => { state.untouched = false; }, { capture: true, passive: true });
  }
  addEventListener("hashchange", () => guard(open()));
  addEventListener("click", (event) => { // to where one is already, which changes no hash
    const hash = event.target instanceof Element && event.target.closest("a")?.hash;
    if (hash && hash === location.hash) guard(open());
  });
}

form.fill(start);
form.showScoring(state.settings);
summarize();
listen();
chooseClass(state.name);
gallery.rank(state.threshold, state.show);
await guard(open());

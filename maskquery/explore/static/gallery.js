// All images, ranked by how well they come out at the threshold.

import { picture, post } from "./api.js";
import { at, iou, pixels, shown } from "./figures.js";

const $ = (id) => document.getElementById(id);
const PAGE = 48, CHUNK = 12;

function mark(card, current) {
  if (current) card.firstChild.setAttribute("aria-current", "true");
  else card.firstChild.removeAttribute("aria-current");
}

export class Gallery {
  constructor(images, onCurves) {
    this.images = images;
    this.onCurves = onCurves;
    this.curves = new Map();
    this.cards = new Map();
    this.limit = PAGE;
    this.loading = false; // curves, of images of the part
    this.order = images.map(({ id }) => id);
    this.listed = [];
    $("more").addEventListener("click", () => { this.limit += PAGE; this.render(); });
  }

  get part() {
    const part = $("part").value;
    return this.images.filter(({ test }) => part === "all" || test === (part === "test"));
  }

  // The curves of the part's images that are known.
  get known() {
    return this.part.map(({ id }) => this.curves.get(id)).filter(Boolean);
  }

  // Fetch the curves of one column of the scores, some images at a time.
  async load(column, settings, measured) {
    const round = this.begin(measured), failures = [];
    const ask = (images) => post("/api/curves", { images, column, settings });
    const alone = (image) => ask([image]).catch((error) => { failures.push(error); return []; });
    const wanted = this.part.map(({ id }) => id);
    for (let start = 0; start < wanted.length; start += CHUNK) {
      const images = wanted.slice(start, start + CHUNK);
      // One image that cannot be measured does not keep the others from it.
      const found = await ask(images).catch(() => Promise.all(images.map(alone)));
      if (round !== this.round) return;
      for (const curve of found.flat()) this.curves.set(curve.image, curve);
      this.loading = start + CHUNK < wanted.length;
      this.onCurves(!this.loading);
    }
    if (failures.length) {
      const count = `${failures.length} of ${wanted.length} images`;
      throw new Error(`${count} cannot be measured: ${failures[0].message}`);
    }
  }

  // No curves: nothing is looked for yet.
  forget() {
    this.begin(false);
    this.loading = false;
    this.rank(this.threshold, this.show);
  }

  begin(measured) {
    this.curves.clear();
    this.measured = measured;
    this.loading = true;
    for (const [id, card] of this.cards) card.firstChild.href = this.linkTo(id);
    this.tell();
    return (this.round = Symbol());
  }

  // What is wrong in an image: the greater, the worse; null: not to be listed.
  badness(counts, show) {
    const falseNegatives = counts.true - counts.tp, falsePositives = counts.predicted - counts.tp;
    if (!this.measured) return -counts.predicted;
    if (show === "false") return falsePositives || null;
    if (show === "miss") return falseNegatives || null;
    const value = iou(counts);
    // Nothing there and nothing found is the best that can be.
    return Number.isNaN(value) ? -2 : 1 - value + (falsePositives + falseNegatives) * 1e-12;
  }

  rank(threshold, show) {
    [this.threshold, this.show] = [threshold, show];
    const listed = this.part.map(({ id }) => {
      const curve = this.curves.get(id), counts = curve && at(curve, threshold);
      return { id, counts, bad: counts ? this.badness(counts, show) : show === "all" ? -3 : null };
    }).filter(({ bad }) => bad !== null);
    const direction = { worst: -1, best: 1, name: 0 }[$("order").value];
    listed.sort((a, b) => direction * (a.bad - b.bad));
    this.order = listed.map(({ id }) => id);
    this.listed = listed;
    this.render();
  }

  render() {
    const cards = this.listed.slice(0, this.limit).map(({ id, counts }) => this.card(id, counts));
    $("cards").replaceChildren(...cards);
    $("more").hidden = this.listed.length <= this.limit;
    this.tell();
  }

  tell() {
    const what = { all: "", false: " with false positives", miss: " with false negatives" }[this.show];
    const count = this.listed.length;
    $("ranked").textContent =
      this.loading ? `measured ${this.known.length} of ${this.part.length} images …`
      : `${count} ${count === 1 ? "image" : "images"}${what}`;
  }

  card(id, counts) {
    let card = this.cards.get(id);
    if (!card) {
      card = document.createElement("li");
      const link = Object.assign(document.createElement("a"), { className: "card" });
      const thumbnail = Object.assign(document.createElement("img"), { loading: "lazy", alt: "" });
      thumbnail.src = picture("thumbnail", id);
      const share = Object.assign(document.createElement("div"), { className: "share" });
      share.append(...["hit", "miss", "false"].map((name) =>
        Object.assign(document.createElement("i"), { className: name })));
      const text = Object.assign(document.createElement("div"), { className: "text" });
      text.append(
        Object.assign(document.createElement("span"), { className: "name", textContent: id, title: id }),
        Object.assign(document.createElement("span"), { className: "figure" }));
      link.append(thumbnail, share, text);
      card.append(link);
      this.cards.set(id, card);
    }
    card.firstChild.href = this.linkTo(id);
    mark(card, id === this.current);
    this.label(card, counts);
    return card;
  }

  label(card, counts) {
    const figure = card.querySelector(".figure"), parts = card.querySelectorAll(".share i");
    const falseNegatives = counts ? counts.true - counts.tp : 0;
    const falsePositives = counts ? counts.predicted - counts.tp : 0;
    const all = counts ? counts.predicted + falseNegatives : 0;
    const widths = this.measured ? [counts?.tp, falseNegatives, falsePositives] : [counts?.predicted, 0, 0];
    parts.forEach((part, place) => { part.style.width = all ? `${100 * widths[place] / all}%` : "0"; });
    if (!counts) figure.textContent = "…";
    else if (!this.measured) figure.textContent = `${pixels(counts.predicted)} px`;
    else if (this.show === "false") figure.textContent = `${pixels(falsePositives)} px`;
    else if (this.show === "miss") figure.textContent = `${pixels(falseNegatives)} px`;
    else figure.textContent = counts.true ? `IoU ${shown(iou(counts))}` : falsePositives ? "false positive" : "none";
  }

  choose(id) {
    this.current = id;
    for (const [image, card] of this.cards) mark(card, image === id);
  }

  // The image before or after in the ranking.
  neighbour(id, by) {
    const place = this.order.indexOf(id);
    return this.order[place < 0 ? 0 : place + by];
  }
}

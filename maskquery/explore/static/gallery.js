// @ts-check
// All images, ranked by how well they come out at the threshold.

import { picture, post } from "./api.js";
import { $, button, create, select } from "./dom.js";
import { at, format, iou, pixels } from "./figures.js";

/**
 * @typedef {import("./api.js").ListedImage} ListedImage
 * @typedef {import("./api.js").ImageCurve} ImageCurve
 * @typedef {import("./api.js").Settings} Settings
 * @typedef {import("./figures.js").Counts} Counts
 * @typedef {{id: string, counts: Counts | null, bad: number}} Row
 * @typedef {{item: HTMLLIElement, link: HTMLAnchorElement, figure: HTMLElement, parts: HTMLElement[]}} Card
 */

const PAGE = 48, CHUNK = 12;
const KINDS = ["tp", "fn", "fp"];
const ORDERS = {
  measured: { worst: "lowest IoU", best: "highest IoU", name: "by name" },
  unmeasured: { worst: "most pixels", best: "fewest pixels", name: "by name" },
};

/** @param {string} id */
function newCard(id) {
  const parts = KINDS.map((className) => create("i", { className }));
  const figure = create("span", { className: "figure" });
  const link = create("a", { className: "card" },
    create("img", { loading: "lazy", alt: "", src: picture("thumbnail", id) }),
    create("div", { className: "share" }, ...parts),
    create("div", { className: "text" },
      create("span", { className: "name", dir: "auto", textContent: id, title: id }), figure));
  return { item: create("li", {}, link), link, figure, parts };
}

export class Gallery {
  /** @type {Map<string, ImageCurve>} */
  curves = new Map();
  /** @type {Map<string, Card>} */
  cards = new Map();
  limit = PAGE;
  loading = false; // curves, of images of the split
  measured = false;
  round = Symbol();
  threshold = 0;
  show = "all";
  current = "";
  /** @type {Row[]} */
  rows = [];

  /**
   * @param {ListedImage[]} images
   * @param {(last: boolean) => void} onCurves when some more have come
   * @param {(image: string) => string} linkTo where a card leads
   */
  constructor(images, onCurves, linkTo) {
    this.images = images;
    this.onCurves = onCurves;
    this.linkTo = linkTo;
    this.order = images.map(({ id }) => id);
    const splits = new Set(images.map(({ test }) => test));
    $("split-label").hidden = splits.size < 2;
    if (splits.size < 2) select("split").value = "all";
    button("more").addEventListener("click", () => { this.limit += PAGE; this.render(); });
  }

  /** The images of the chosen split. */
  get split() {
    const split = select("split").value;
    return this.images.filter(({ test }) => split === "all" || test === (split === "test"));
  }

  /** The curves of the split's images that have come. */
  get known() {
    return this.split.flatMap(({ id }) => this.curves.get(id) ?? []);
  }

  /**
   * Fetch the curves of one column of the scores, some images at a time.
   * @param {number} column
   * @param {Settings} settings
   * @param {boolean} measured whether there is ground truth of it
   */
  async load(column, settings, measured) {
    const round = this.begin(measured);
    /** @type {Error[]} */
    const failures = [];
    /** @type {(images: string[]) => Promise<ImageCurve[]>} */
    const ask = (images) => post("/api/curves", { images, column, settings });
    /** @type {(image: string) => Promise<ImageCurve[]>} */
    const alone = (image) => ask([image]).catch((error) => { failures.push(error); return []; });
    const images = this.split.map(({ id }) => id);
    if (!images.length) {
      this.loading = false;
      this.onCurves(true);
    }
    for (let start = 0; start < images.length; start += CHUNK) {
      const some = images.slice(start, start + CHUNK);
      // One image that cannot be measured does not keep the others from it.
      const curves = await ask(some).catch(() => Promise.all(some.map(alone)).then((each) => each.flat()));
      if (round !== this.round) return;
      for (const curve of curves) this.curves.set(curve.image, curve);
      this.loading = start + CHUNK < images.length;
      this.onCurves(!this.loading);
    }
    if (failures.length) {
      const count = `${failures.length} of ${images.length} images`;
      throw new Error(`${count} cannot be measured: ${failures[0].message}`);
    }
  }

  /** No curves: there is no prompt yet. */
  forget() {
    this.begin(false);
    this.loading = false;
    this.rank(this.threshold, this.show);
  }

  /** @param {boolean} measured */
  begin(measured) {
    this.curves.clear();
    this.measured = measured;
    this.loading = true;
    const words = ORDERS[measured ? "measured" : "unmeasured"];
    for (const option of select("order").options) {
      option.text = words[/** @type {keyof typeof words} */ (option.value)];
    }
    for (const [id, { link }] of this.cards) link.href = this.linkTo(id);
    this.tell();
    return (this.round = Symbol());
  }

  /**
   * What is wrong in an image: the greater, the worse; null: not to be listed.
   * @param {Counts} counts
   * @param {string} show
   */
  badness(counts, show) {
    const falseNegatives = counts.true - counts.tp, falsePositives = counts.predicted - counts.tp;
    if (!this.measured) return counts.predicted;
    if (show === "fp") return falsePositives || null;
    if (show === "fn") return falseNegatives || null;
    const value = iou(counts);
    // Nothing there and nothing predicted is the best that can be.
    return Number.isNaN(value) ? -2 : 1 - value + (falsePositives + falseNegatives) * 1e-12;
  }

  /**
   * @param {number} threshold
   * @param {string} show "all", "fp" or "fn"
   */
  rank(threshold, show) {
    [this.threshold, this.show] = [threshold, show];
    const unknown = show === "all" ? -3 : null;
    this.rows = this.split.flatMap(({ id }) => {
      const curve = this.curves.get(id), counts = curve ? at(curve, threshold) : null;
      const bad = counts ? this.badness(counts, show) : unknown;
      return bad === null ? [] : { id, counts, bad };
    });
    const order = select("order").value;
    if (order !== "name") this.rows.sort((a, b) => (order === "best" ? a.bad - b.bad : b.bad - a.bad));
    this.order = this.rows.map(({ id }) => id);
    this.render();
  }

  render() {
    $("cards").replaceChildren(...this.rows.slice(0, this.limit).map((row) => this.card(row)));
    button("more").hidden = this.rows.length <= this.limit;
    this.tell();
  }

  tell() {
    const kind = { all: "", fp: " with false positives", fn: " with false negatives" }[this.show] ?? "";
    const count = this.rows.length;
    const elsewhere = this.current && !this.order.includes(this.current)
      ? "; the one that is open is not among them" : "";
    $("ranked").textContent =
      this.loading ? `measured ${this.known.length} of ${this.split.length} images …`
      : `${count} ${count === 1 ? "image" : "images"}${kind}${elsewhere}`;
    button("previous").disabled = this.neighbour(this.current, -1) === undefined;
    button("next").disabled = this.neighbour(this.current, 1) === undefined;
  }

  /** @param {Row} row */
  card({ id, counts }) {
    const card = this.cards.get(id) ?? newCard(id);
    this.cards.set(id, card);
    card.link.href = this.linkTo(id);
    this.mark(id, card);
    this.label(card, counts);
    return card.item;
  }

  /**
   * @param {string} id
   * @param {Card} card
   */
  mark(id, { link }) {
    if (id === this.current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }

  /**
   * @param {Card} card
   * @param {Counts | null} counts
   */
  label({ figure, parts }, counts) {
    if (!counts) {
      figure.textContent = "…";
      parts.forEach((part) => { part.style.width = "0"; });
      return;
    }
    const fn = counts.true - counts.tp, fp = counts.predicted - counts.tp;
    const all = counts.predicted + fn;
    const widths = this.measured ? [counts.tp, fn, fp] : [counts.predicted, 0, 0];
    parts.forEach((part, place) => { part.style.width = all ? `${100 * widths[place] / all}%` : "0"; });
    if (!this.measured) figure.textContent = `${pixels(counts.predicted)} px`;
    else if (this.show === "fp") figure.textContent = `${pixels(fp)} px`;
    else if (this.show === "fn") figure.textContent = `${pixels(fn)} px`;
    else if (counts.true) figure.textContent = `IoU ${format(iou(counts))}`;
    else figure.textContent = fp ? "false positive" : "none";
  }

  /**
   * Mark an image as the one that is open, and bring its card into sight.
   * @param {string} id
   */
  choose(id) {
    this.current = id;
    const place = this.order.indexOf(id);
    if (place >= this.limit) {
      this.limit = Math.ceil((place + 1) / PAGE) * PAGE;
      this.render();
    }
    for (const [image, card] of this.cards) this.mark(image, card);
    this.tell();
    this.follow();
  }

  /** Scroll the list, and nothing else, to the card of the image that is open. */
  follow() {
    const card = this.cards.get(this.current)?.item, list = $("cards");
    if (!card?.isConnected) return;
    const inside = card.getBoundingClientRect(), outside = list.getBoundingClientRect();
    for (const [low, high, axis] of /** @type {const} */ ([["top", "bottom", "y"], ["left", "right", "x"]])) {
      const before = inside[low] - outside[low], after = inside[high] - outside[high];
      const by = before < 0 ? before - 4 : after > 0 ? after + 4 : 0;
      list.scrollBy(axis === "y" ? { top: by } : { left: by });
    }
  }

  /**
   * The image before or after in the ranking.
   * @param {string} id
   * @param {number} by
   * @returns {string | undefined}
   */
  neighbour(id, by) {
    const place = this.order.indexOf(id);
    return place < 0 ? this.order[0] : this.order[place + by];
  }
}

// @ts-check
// The masks of the image: a list of them, and what is known of one.

import { picture } from "./api.js";
import { $, create, image as img } from "./dom.js";
import { format, pixels } from "./figures.js";

/**
 * @typedef {import("./regions.js").Regions} Regions
 * @typedef {import("./api.js").Scored} Scored
 */

export class Masks {
  image = "";
  /** @type {Regions | null} */
  regions = null;
  /** @type {HTMLButtonElement[]} */
  buttons = [];
  /** @type {number[]} each mask's score */
  scores = [];
  /** @type {string[]} why each mask is left out; "" if it is not */
  reasons = [];
  /** @type {number[]} the masks, by score */
  order = [];
  shownMask = -1;

  /** @param {(mask: number, kept: boolean) => void} onMask */
  constructor(onMask) {
    this.onMask = onMask;
    // The list is one stop of the Tab key; arrows go through it.
    $("mask-list").addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      const mask = this.buttons.findIndex((button) => button === event.target);
      if (!by || mask < 0) return;
      event.preventDefault();
      this.buttons[this.neighbour(mask, by)].focus();
    });
  }

  /**
   * @param {string} image
   * @param {Regions} regions
   */
  open(image, regions) {
    [this.image, this.regions] = [image, regions];
    this.shownMask = -1;
    this.buttons = regions.masks.map((_, mask) => {
      const button = create("button", { type: "button" });
      button.addEventListener("click", () => this.onMask(mask, true));
      button.addEventListener("focus", () => this.onMask(mask, false));
      button.addEventListener("blur", () => this.onMask(-1, false));
      button.addEventListener("pointerenter", () => this.onMask(mask, false));
      button.addEventListener("pointerleave", () => this.onMask(-1, false));
      return button;
    });
  }

  /**
   * The list, by score.
   * @param {number[]} scores
   * @param {string[]} reasons
   */
  list(scores, reasons) {
    [this.scores, this.reasons] = [scores, reasons];
    this.order = this.buttons.map((_, mask) => mask).sort((a, b) => scores[b] - scores[a]);
    $("mask-list").replaceChildren(...this.order.map((mask, place) => {
      this.buttons[mask].tabIndex = place ? -1 : 0;
      this.buttons[mask].textContent = format(scores[mask], 3);
      return create("li", {}, this.buttons[mask]);
    }));
    const count = this.order.length, out = reasons.filter(Boolean).length;
    $("masks-title").textContent = count ? `Masks (${count}, by score)` : "No mask in this image";
    $("mask-help").textContent = !count ? "SAM gives no mask here that passes its filters."
      : "Point at the image or choose here; a click keeps it."
        + (out ? " Struck through: left out by the selection; point at one to see by which rule." : "");
  }

  /** @param {number} threshold */
  mark(threshold) {
    const limit = Math.fround(threshold);
    this.buttons.forEach((button, mask) => {
      const reason = this.reasons[mask], above = !reason && this.scores[mask] > limit;
      button.classList.toggle("left-out", Boolean(reason));
      button.classList.toggle("chosen", above);
      button.title = reason ? `Left out: ${reason}` : "";
      button.setAttribute("aria-label", `Mask with score ${format(this.scores[mask], 3)}, `
        + (reason ? `left out: ${reason}` : `${above ? "above" : "not above"} the threshold`));
    });
  }

  /**
   * @param {number} mask
   * @param {Scored} scored
   */
  describe(mask, scored) {
    const cosines = scored.cosines[mask], best = Math.max(...cosines);
    const prompt = scored.prompts[cosines.indexOf(best)], reason = this.reasons[mask];
    const area = this.regions?.masks[mask].area ?? 0;
    return `score ${format(this.scores[mask], 3)} · ${pixels(area)} px · `
      + `most like “${prompt}” ${format(best, 3)}` + (reason ? ` · left out: ${reason}` : "");
  }

  /**
   * @param {number} mask
   * @param {boolean} kept
   * @param {Scored | null} scored the server's answer for the image
   */
  show(mask, kept, scored) {
    this.buttons.forEach((button, each) => button.setAttribute("aria-pressed", String(each === mask && kept)));
    $("mask").hidden = mask < 0;
    if (mask < 0 || !scored || !this.regions) { this.shownMask = -1; return; }
    const { id, area, box, predicted_iou, stability_score } = this.regions.masks[mask];
    if (this.shownMask !== mask) {
      Object.assign(img("crop"), { src: picture("crop", this.image, id), alt: `Crop of mask ${id}` });
      this.shownMask = mask;
    }
    const [x0, y0, x1, y1] = box, share = 100 * area / (this.regions.width * this.regions.height);
    /** @type {[name: string, value: string][]} */
    const facts = [
      ["score", format(this.scores[mask], 4)],
      ["size", `${pixels(area)} px (${share.toFixed(share < 1 ? 2 : 1)} %)`],
      ["box", `${x1 - x0} × ${y1 - y0} at ${x0}, ${y0}`],
      ["predicted IoU", format(predicted_iou)], ["stability", format(stability_score)],
      ["mask id", id],
    ];
    $("reason").textContent = this.reasons[mask] && `Left out: ${this.reasons[mask]}.`;
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
      create("dt", { textContent: name }),
      create("dd", { textContent: value, className: name === "mask id" ? "wide" : "" })]));
    const similarities = scored.prompts.map((prompt, place) => ({ prompt, value: scored.cosines[mask][place] }));
    similarities.sort((a, b) => b.value - a.value);
    $("prompt-scores").replaceChildren(...similarities.map(({ prompt, value }) => {
      const meter = create("meter", { min: 0, max: 1, value });
      meter.setAttribute("aria-hidden", "true");
      return create("li", {},
        create("span", { className: "text", dir: "auto", textContent: prompt, title: prompt }), meter,
        create("span", { className: "value", textContent: format(value, 3) }));
    }));
  }

  /**
   * The mask before or after in the list; -1 if there is none.
   * @param {number} mask
   * @param {number} by
   */
  neighbour(mask, by) {
    const place = this.order.indexOf(mask);
    return this.order[Math.min(this.order.length - 1, Math.max(0, place < 0 ? 0 : place + by))] ?? -1;
  }
}

// The masks of the image: a list of them, and what is known of one.

import { picture } from "./api.js";
import { pixels, shown } from "./figures.js";

const $ = (id) => document.getElementById(id);

export class Masks {
  constructor(onMask) {
    this.onMask = onMask;
    this.shownMask = -1;
  }

  open(image, regions) {
    [this.image, this.regions] = [image, regions];
    this.shownMask = -1;
    this.buttons = regions.masks.map((_, mask) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.addEventListener("click", () => this.onMask(mask, true));
      button.addEventListener("focus", () => this.onMask(mask, false));
      button.addEventListener("blur", () => this.onMask(-1, false));
      button.addEventListener("pointerenter", () => this.onMask(mask, false));
      button.addEventListener("pointerleave", () => this.onMask(-1, false));
      return button;
    });
  }

  // The list, by score; column: each mask's score; eligible: whether it may stand for the class.
  list(column, eligible) {
    [this.column, this.eligible] = [column, eligible];
    this.order = this.buttons.map((_, mask) => mask).sort((a, b) => column[b] - column[a]);
    $("mask-list").replaceChildren(...this.order.map((mask) => {
      const item = document.createElement("li");
      this.buttons[mask].textContent = shown(column[mask], 3);
      item.append(this.buttons[mask]);
      return item;
    }));
    $("masks-title").textContent = `Masks (${this.order.length}, by score)`;
  }

  mark(threshold) {
    const limit = Math.fround(threshold);
    this.buttons.forEach((button, mask) => {
      const left = !this.eligible[mask], chosen = !left && this.column[mask] > limit;
      button.classList.toggle("left-out", left);
      button.classList.toggle("chosen", chosen);
      button.setAttribute("aria-label",
        `Mask with score ${shown(this.column[mask], 3)}, ` +
        (left ? "left out by the selection" : `${chosen ? "above" : "not above"} the threshold`));
    });
  }

  describe(mask, scored) {
    const cosines = scored.cosines[mask], best = Math.max(...cosines);
    const prompt = scored.prompts[cosines.indexOf(best)];
    const left = this.eligible[mask] ? "" : " (left out)";
    return `score ${shown(this.column[mask], 3)}${left} · ${pixels(this.regions.masks[mask].area)} px · ` +
      `most like “${prompt}” ${shown(best, 3)}`;
  }

  // scored: the server's answer for the image.
  show(mask, kept, scored) {
    this.buttons.forEach((button, each) => button.setAttribute("aria-pressed", each === mask && kept));
    $("mask").hidden = mask < 0;
    if (mask < 0 || !scored) { this.shownMask = -1; return; }
    const { id, area, box, predicted_iou, stability_score } = this.regions.masks[mask];
    if (this.shownMask !== mask) {
      $("crop").src = picture("crop", this.image, id);
      $("crop").alt = `Crop of mask ${id}`;
      this.shownMask = mask;
    }
    const [x0, y0, x1, y1] = box, share = 100 * area / (this.regions.width * this.regions.height);
    const facts = [
      ["score", shown(this.column[mask], 4)],
      ...(this.eligible[mask] ? [] : [["selection", "left out for this class"]]), ["mask id", id],
      ["size", `${pixels(area)} px (${share.toFixed(share < 1 ? 2 : 1)} %)`],
      ["box", `${x1 - x0} × ${y1 - y0} at ${x0}, ${y0}`],
      ["predicted IoU", shown(predicted_iou)], ["stability", shown(stability_score)],
    ];
    $("facts").replaceChildren(...facts.flatMap(([name, value]) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value })]));
    const values = scored.prompts.map((prompt, place) => [prompt, scored.cosines[mask][place]]);
    $("prompt-scores").replaceChildren(...values.sort((a, b) => b[1] - a[1]).map(([prompt, value]) => {
      const item = document.createElement("li");
      const meter = Object.assign(document.createElement("meter"), { min: 0, max: 1, value });
      meter.setAttribute("aria-hidden", "true");
      item.append(
        Object.assign(document.createElement("span"), { className: "text", textContent: prompt, title: prompt }),
        meter,
        Object.assign(document.createElement("span"), { className: "value", textContent: shown(value, 3) }));
      return item;
    }));
  }

  // The mask before or after in the list.
  neighbour(mask, by) {
    const place = this.order.indexOf(mask);
    return this.order[Math.min(this.order.length - 1, Math.max(0, place < 0 ? 0 : place + by))] ?? -1;
  }
}

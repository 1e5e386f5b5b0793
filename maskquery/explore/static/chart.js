// @ts-check
// IoU at every threshold: a line for this image, one for the mean, and where the threshold stands.

import { svg } from "./dom.js";
import { format } from "./figures.js";

/** @typedef {import("./figures.js").Steps} Steps */

const LEFT = 30, RIGHT = 326, TOP = 10, BOTTOM = 124; // the slider below has the same ends
const chart = svg("chart");

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {string | number} [text]
 */
function draw(name, attributes, text) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, String(value));
  if (text !== undefined) shape.textContent = String(text);
  return shape;
}

export class Chart {
  low = 0;
  high = 1;
  marker = draw("line", { class: "marker", y1: TOP, y2: BOTTOM });
  dot = draw("circle", { r: 5 });

  /** @param {(threshold: number) => void} onThreshold */
  constructor(onThreshold) {
    const choose = (/** @type {PointerEvent} */ event) => {
      const area = chart.getBoundingClientRect();
      const x = (event.clientX - area.left) / area.width * 340;
      const share = Math.min(1, Math.max(0, (x - LEFT) / (RIGHT - LEFT)));
      onThreshold(this.low + share * (this.high - this.low));
    };
    chart.addEventListener("pointerdown", (event) => {
      chart.setPointerCapture(event.pointerId);
      choose(event);
    });
    chart.addEventListener("pointermove", (event) => event.buttons && choose(event));
  }

  /** @param {number} score */
  x(score) {
    const share = (score - this.low) / (this.high - this.low);
    return LEFT + Math.min(1, Math.max(0, share)) * (RIGHT - LEFT);
  }

  /** @param {number} value */
  y(value) { return BOTTOM - value * (BOTTOM - TOP); }

  /**
   * Both lines, as steps: [score, value below it], scores descending; empty where there is none.
   * @param {Steps} image
   * @param {Steps} mean
   * @param {number} low
   * @param {number} high
   */
  draw(image, mean, low, high) {
    [this.low, this.high] = [low, high];
    const parts = [];
    for (const value of [0, 0.5, 1]) {
      parts.push(draw("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: this.y(value), y2: this.y(value) }));
      parts.push(draw("text", { x: LEFT - 5, y: this.y(value) + 4, "text-anchor": "end" }, value));
    }
    parts.push(draw("text", { x: LEFT, y: BOTTOM + 16 }, format(low)));
    parts.push(draw("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 16, "text-anchor": "middle" }, "threshold"));
    parts.push(draw("text", { x: RIGHT, y: BOTTOM + 16, "text-anchor": "end" }, format(high)));
    if (mean.length) parts.push(draw("path", { class: "mean", d: this.path(mean) }));
    if (image.length) parts.push(draw("path", { class: "image", d: this.path(image) }));
    chart.replaceChildren(...parts, this.marker, this.dot);
  }

  /** @param {Steps} steps */
  path(steps) {
    let path = `M${RIGHT} ${this.y(0)}`;
    for (const [score, value] of steps) path += `H${this.x(score).toFixed(1)}V${this.y(value).toFixed(1)}`;
    return `${path}H${LEFT}`;
  }

  /**
   * @param {number} threshold
   * @param {number} value
   */
  mark(threshold, value) {
    const x = String(this.x(threshold));
    this.marker.setAttribute("x1", x);
    this.marker.setAttribute("x2", x);
    this.dot.setAttribute("display", Number.isFinite(value) ? "inline" : "none");
    this.dot.setAttribute("cx", x);
    this.dot.setAttribute("cy", String(this.y(Number.isFinite(value) ? value : 0)));
    chart.setAttribute("aria-label", `IoU at every threshold; at ${format(threshold, 3)} it is ${format(value, 3)}`);
  }
}

// IoU at every threshold: a line for this image, one for the mean, and where the threshold stands.

import { shown } from "./figures.js";

const LEFT = 30, RIGHT = 326, TOP = 10, BOTTOM = 124; // the slider below has the same ends
const svg = document.getElementById("chart");

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export class Chart {
  constructor(onThreshold) {
    const choose = (event) => {
      const area = svg.getBoundingClientRect();
      const x = (event.clientX - area.left) / area.width * 340;
      const share = Math.min(1, Math.max(0, (x - LEFT) / (RIGHT - LEFT)));
      onThreshold(this.low + share * (this.high - this.low));
    };
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId);
      choose(event);
    });
    svg.addEventListener("pointermove", (event) => event.buttons && choose(event));
  }

  x(score) {
    const share = (score - this.low) / (this.high - this.low);
    return LEFT + Math.min(1, Math.max(0, share)) * (RIGHT - LEFT);
  }

  y(value) { return BOTTOM - value * (BOTTOM - TOP); }

  // own, mean: [score, value below it], scores descending; empty where there is none.
  draw(own, mean, low, high) {
    [this.low, this.high] = [low, high];
    const parts = [];
    for (const value of [0, 0.5, 1]) {
      parts.push(element("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: this.y(value), y2: this.y(value) }));
      parts.push(element("text", { x: LEFT - 5, y: this.y(value) + 4, "text-anchor": "end" }, value));
    }
    parts.push(element("text", { x: LEFT, y: BOTTOM + 16 }, shown(low)));
    parts.push(element("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 16, "text-anchor": "middle" }, "threshold"));
    parts.push(element("text", { x: RIGHT, y: BOTTOM + 16, "text-anchor": "end" }, shown(high)));
    if (mean.length) parts.push(element("path", { class: "mean", d: this.path(mean) }));
    if (own.length) parts.push(element("path", { class: "own", d: this.path(own) }));
    this.marker = element("line", { class: "marker", y1: TOP, y2: BOTTOM });
    this.dot = element("circle", { r: 5 });
    svg.replaceChildren(...parts, this.marker, this.dot);
  }

  path(steps) {
    let path = `M${RIGHT} ${this.y(0)}`;
    for (const [score, value] of steps) path += `H${this.x(score).toFixed(1)}V${this.y(value).toFixed(1)}`;
    return `${path}H${LEFT}`;
  }

  mark(threshold, value) {
    const x = this.x(threshold);
    this.marker.setAttribute("x1", x);
    this.marker.setAttribute("x2", x);
    this.dot.toggleAttribute("hidden", !Number.isFinite(value));
    this.dot.setAttribute("display", Number.isFinite(value) ? "inline" : "none");
    this.dot.setAttribute("cx", x);
    this.dot.setAttribute("cy", this.y(Number.isFinite(value) ? value : 0));
    svg.setAttribute("aria-label", `IoU at every threshold; at ${shown(threshold, 3)} it is ${shown(value, 3)}`);
  }
}

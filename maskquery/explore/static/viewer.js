// @ts-check
// The pictures of one image, and pointing at its masks.

import { picture } from "./api.js";
import { $, canvas, image as img } from "./dom.js";

/**
 * @typedef {import("./regions.js").Regions} Regions
 * @typedef {[red: number, green: number, blue: number, opacity: number]} Colour
 */

// Those of maskquery/evaluation/panels.py.
/** @type {Record<"tp" | "fn" | "fp", Colour>} */
const COLOURS = { tp: [0, 158, 115, 153], fn: [0, 114, 178, 153], fp: [213, 94, 0, 153] };
/** @type {Colour} */
const NONE = [0, 0, 0, 0];
/** @type {Colour} */
const BLACK = [0, 0, 0, 255];
/** @type {Colour} */
const WHITE = [255, 255, 255, 255];

/** @param {Colour} colour */
const word = (colour) => new Uint32Array(Uint8Array.from(colour).buffer)[0];

/** @param {string} id */
function context(id) {
  const drawing = canvas(id).getContext("2d");
  if (!drawing) throw new Error("this browser draws nothing on a canvas");
  return drawing;
}

export class Viewer {
  /** @type {Regions | null} */
  regions = null;
  words = new Uint32Array();
  pixels = new ImageData(1, 1);
  buffer = new Uint32Array(this.pixels.data.buffer);
  last = "";
  turn = 0;

  /**
   * @param {(mask: number, kept: boolean) => void} onMask pointed at, or chosen by a click (kept);
   *   -1 for none
   * @param {(mask: number) => string} describe a mask in a few words
   */
  constructor(onMask, describe) {
    this.onMask = onMask;
    this.describe = describe;
    const area = canvas("outline");
    area.addEventListener("pointermove", (event) => this.point(event, false));
    area.addEventListener("pointerleave", () => { this.hideTip(); onMask(-1, false); });
    area.addEventListener("click", (event) => this.point(event, true));
  }

  /**
   * @param {string} image
   * @param {Regions} regions
   */
  open(image, regions) {
    this.regions = regions;
    this.words = new Uint32Array(regions.count);
    const size = { width: regions.width, height: regions.height };
    for (const id of ["colours", "outline", "truth", "prediction"]) Object.assign(canvas(id), size);
    this.pixels = new ImageData(regions.width, regions.height);
    this.buffer = new Uint32Array(this.pixels.data.buffer);
    for (const id of ["picture", "original"]) Object.assign(img(id), { src: picture("picture", image), ...size });
    img("picture").alt = `Image ${image}`;
    img("original").alt = `Image ${image}, as it is`;
    this.last = "";
  }

  /**
   * Colour every region of a canvas.
   * @param {string} id
   * @param {(region: number) => Colour} colourOf
   */
  fill(id, colourOf) {
    if (!this.regions) return;
    const { map, count } = this.regions, { words, buffer } = this;
    for (let region = 0; region < count; region++) words[region] = word(colourOf(region));
    for (let pixel = 0; pixel < buffer.length; pixel++) buffer[pixel] = words[map[pixel]];
    context(id).putImageData(this.pixels, 0, 0);
  }

  /**
   * @param {Uint8Array} truth
   * @param {string} name
   */
  paintTruth(truth, name) {
    this.fill("truth", (region) => (truth[region] ? WHITE : BLACK));
    canvas("truth").setAttribute("aria-label", `Ground truth of ${name}`);
  }

  /**
   * @param {Float32Array} best
   * @param {Uint8Array | null} truth
   * @param {number} threshold
   * @param {string} show "all", "fp" or "fn"
   */
  paint(best, truth, threshold, show) {
    const limit = Math.fround(threshold);
    this.fill("colours", (region) => {
      const above = best[region] > limit, true_ = truth ? truth[region] : above;
      const kind = above ? (true_ ? "tp" : "fp") : true_ ? "fn" : null;
      return kind && (show === "all" || show === kind) ? COLOURS[kind] : NONE;
    });
    this.fill("prediction", (region) => (best[region] > limit ? WHITE : BLACK));
    canvas("prediction").setAttribute("aria-label", "Prediction");
  }

  /**
   * @param {MouseEvent} event
   * @param {boolean} kept
   */
  point(event, kept) {
    if (!this.regions) return;
    const { width, height, map } = this.regions, area = canvas("outline").getBoundingClientRect();
    const x = Math.floor((event.clientX - area.left) / area.width * width);
    const y = Math.floor((event.clientY - area.top) / area.height * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const masks = this.regions.masksAt(map[y * width + x]);
    if (!kept) {
      if (masks.length) this.showTip(event, this.describe(masks[0])); else this.hideTip();
      this.onMask(masks[0] ?? -1, false);
      return;
    }
    // Another click at the same place goes on to the next larger mask there.
    const here = masks.join();
    this.turn = here === this.last ? (this.turn + 1) % (masks.length || 1) : 0;
    this.last = here;
    this.onMask(masks[this.turn] ?? -1, true);
  }

  hideTip() { $("tip").hidden = true; }

  /**
   * A line of text beside what is pointed at.
   * @param {MouseEvent} event
   * @param {string} text
   */
  showTip(event, text) {
    const tip = $("tip"), area = canvas("outline").getBoundingClientRect();
    tip.hidden = false;
    tip.textContent = text;
    const x = Math.min(event.clientX - area.left + 14, area.width - tip.offsetWidth);
    const y = Math.min(event.clientY - area.top + 16, area.height - tip.offsetHeight);
    tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, y)}px)`;
  }

  /**
   * A line around a mask; -1 for none.
   * @param {number} mask
   */
  outline(mask) {
    const { width: wide, height: high } = canvas("outline"), drawing = context("outline");
    drawing.clearRect(0, 0, wide, high);
    const regions = this.regions;
    if (mask < 0 || !regions) return;
    const { width, height, map, count, masks } = regions;
    const inside = new Uint8Array(count);
    for (let region = 0; region < count; region++) inside[region] = regions.inPlane(region, mask);
    const [x0, y0, x1, y1] = masks[mask].box, thick = Math.max(1, Math.round(width / 500));
    /** @type {(x: number, y: number) => number | boolean} */
    const within = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[map[y * width + x]];
    const light = new Path2D(), dark = new Path2D();
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        if (!within(x, y)) continue;
        if (within(x - 1, y) && within(x + 1, y) && within(x, y - 1) && within(x, y + 1)) continue;
        light.rect(x - thick + 1, y - thick + 1, 2 * thick - 1, 2 * thick - 1);
        dark.rect(x - 2 * thick, y - 2 * thick, 4 * thick + 1, 4 * thick + 1);
      }
    }
    drawing.fillStyle = "#000";
    drawing.fill(dark);
    drawing.fillStyle = "#fff";
    drawing.fill(light);
  }
}

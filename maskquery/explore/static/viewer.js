// The pictures of one image, and pointing at its masks.

import { picture } from "./api.js";

const $ = (id) => document.getElementById(id);
// Red, green, blue, opacity: those of maskquery/evaluation/panels.py.
const HIT = [0, 158, 115, 153], MISS = [0, 114, 178, 153], FALSE = [213, 94, 0, 153];
const NONE = [0, 0, 0, 0], BLACK = [0, 0, 0, 255], WHITE = [255, 255, 255, 255];
const word = (colour) => new Uint32Array(Uint8Array.from(colour).buffer)[0];

export class Viewer {
  // onMask(mask, kept): pointed at, or chosen by a click (kept); -1 for none.
  // describe(mask): in a few words.
  constructor(onMask, describe) {
    this.onMask = onMask;
    this.describe = describe;
    this.regions = null;
    const canvas = $("outline");
    canvas.addEventListener("pointermove", (event) => this.point(event, false));
    canvas.addEventListener("pointerleave", () => { this.tip(null, ""); onMask(-1, false); });
    canvas.addEventListener("click", (event) => this.point(event, true));
  }

  open(image, regions) {
    this.regions = regions;
    this.words = new Uint32Array(regions.count);
    for (const id of ["colours", "outline", "truth", "prediction"]) {
      $(id).width = regions.width;
      $(id).height = regions.height;
    }
    this.pixels = new ImageData(regions.width, regions.height);
    this.buffer = new Uint32Array(this.pixels.data.buffer);
    for (const id of ["picture", "original"]) {
      $(id).src = picture("picture", image);
      $(id).width = regions.width;
      $(id).height = regions.height;
    }
    $("picture").alt = `Image ${image}`;
    $("original").alt = `Image ${image}, as it is`;
    this.last = "";
  }

  // Colour every region of a canvas.
  fill(id, colourOf) {
    const { map, count } = this.regions, { words, buffer } = this;
    for (let region = 0; region < count; region++) words[region] = word(colourOf(region));
    for (let pixel = 0; pixel < buffer.length; pixel++) buffer[pixel] = words[map[pixel]];
    $(id).getContext("2d").putImageData(this.pixels, 0, 0);
  }

  paintTruth(truth, name) {
    this.fill("truth", (region) => (truth?.[region] ? WHITE : BLACK));
    $("truth").setAttribute("aria-label", `Ground truth of ${name}`);
  }

  // show: "all", "false" or "miss".
  paint(best, truth, threshold, show) {
    const limit = Math.fround(threshold);
    this.fill("colours", (region) => {
      const found = best[region] > limit, true_ = truth ? truth[region] : found;
      if (found && true_) return show === "all" ? HIT : NONE;
      if (found) return show === "miss" ? NONE : FALSE;
      return true_ && show !== "false" ? MISS : NONE;
    });
    this.fill("prediction", (region) => (best[region] > limit ? WHITE : BLACK));
    $("prediction").setAttribute("aria-label", "Prediction");
  }

  point(event, kept) {
    if (!this.regions) return;
    const { width, height, map } = this.regions, area = $("outline").getBoundingClientRect();
    const x = Math.floor((event.clientX - area.left) / area.width * width);
    const y = Math.floor((event.clientY - area.top) / area.height * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const found = this.regions.masksAt(map[y * width + x]);
    if (!kept) {
      this.tip(event, found.length ? this.describe(found[0]) : "");
      this.onMask(found.length ? found[0] : -1, false);
      return;
    }
    // Another click at the same place goes on to the next larger mask there.
    const here = found.join();
    this.turn = here === this.last ? (this.turn + 1) % (found.length || 1) : 0;
    this.last = here;
    this.onMask(found.length ? found[this.turn] : -1, true);
  }

  // A line of text beside what is pointed at; none hides it.
  tip(event, text) {
    const tip = $("tip"), area = $("outline").getBoundingClientRect();
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    const x = Math.min(event.clientX - area.left + 14, area.width - tip.offsetWidth);
    const y = Math.min(event.clientY - area.top + 16, area.height - tip.offsetHeight);
    tip.style.transform = `translate(${Math.max(0, x)}px, ${Math.max(0, y)}px)`;
  }

  // A line around a mask; -1 for none.
  outline(mask) {
    const canvas = $("outline"), context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (mask < 0 || !this.regions) return;
    const { width, height, map, count, masks } = this.regions;
    const inside = new Uint8Array(count);
    for (let region = 0; region < count; region++) inside[region] = this.regions.inPlane(region, mask);
    const [x0, y0, x1, y1] = masks[mask].box, thick = Math.max(1, Math.round(width / 500));
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
    context.fillStyle = "#000";
    context.fill(dark);
    context.fillStyle = "#fff";
    context.fill(light);
  }
}

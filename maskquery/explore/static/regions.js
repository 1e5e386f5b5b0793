// @ts-check
// An image as the server cuts it up: regions that lie in exactly the same masks and classes.
// Predictions, their pixels and every threshold's IoU follow from the regions alone, exactly.

/**
 * @typedef {{
 *   id: string, box: [number, number, number, number], area: number,
 *   predicted_iou: number, stability_score: number,
 * }} Mask
 * @typedef {{height: number, width: number, masks: Mask[], truth: string[]}} About
 * @typedef {{data_offsets: [number, number], shape: number[]}} Tensor
 */

/**
 * The metadata and the tensors' bytes of a safetensors file.
 * @param {ArrayBuffer} buffer
 */
function read(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true)), start = 8 + length;
  const { __metadata__: metadata, ...tensors } =
    JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  /** @param {string} name */
  const tensor = (name) => {
    const { data_offsets: [from, to], shape } = /** @type {Tensor} */ (tensors[name]);
    return { start: start + from, bytes: to - from, shape };
  };
  /** @param {string} name */
  const words = (name) => {
    const { start, bytes } = tensor(name);
    return new Uint32Array(buffer, start, bytes / 4);
  };
  return { about: /** @type {About} */ (JSON.parse(metadata.about)), tensor, words };
}

export class Regions {
  /** @param {ArrayBuffer} buffer */
  constructor(buffer) {
    const { about, tensor, words } = read(buffer);
    this.height = about.height;
    this.width = about.width;
    this.masks = about.masks;
    this.truth = about.truth;
    this.sizes = words("sizes");
    const members = tensor("members");
    this.members = new Uint8Array(buffer, members.start, members.bytes);
    this.stride = members.shape[1];
    this.map = new Uint32Array(this.width * this.height); // the region of each pixel
    const lengths = words("lengths");
    let pixel = 0;
    words("runs").forEach((region, run) => {
      this.map.fill(region, pixel, pixel += lengths[run]);
    });
  }

  get count() { return this.sizes.length; }

  /**
   * @param {number} region
   * @param {number} plane
   */
  inPlane(region, plane) {
    return (this.members[region * this.stride + (plane >> 3)] >> (7 - (plane & 7))) & 1;
  }

  /**
   * The masks that cover a region, the smallest first.
   * @param {number} region
   */
  masksAt(region) {
    const covering = this.masks.map((_, mask) => mask).filter((mask) => this.inPlane(region, mask));
    return covering.sort((a, b) => this.masks[a].area - this.masks[b].area);
  }

  /**
   * Where a class is in the ground truth, by region; null if that is not known.
   * @param {string} name
   */
  truthOf(name) {
    const place = this.truth.indexOf(name);
    if (place < 0) return null;
    return Uint8Array.from(this.sizes, (_, region) => this.inPlane(region, this.masks.length + place));
  }

  /**
   * The highest score of the masks that cover each region.
   * @param {number[]} scores
   */
  best(scores) {
    const best = new Float32Array(this.count).fill(-Infinity);
    for (let region = 0; region < this.count; region++) {
      for (let mask = 0; mask < scores.length; mask++) {
        if (scores[mask] > best[region] && this.inPlane(region, mask)) best[region] = scores[mask];
      }
    }
    return best;
  }

  /**
   * Pixels at a threshold, which is compared as the pipeline does: as float32, "above".
   * @param {Float32Array} best
   * @param {Uint8Array | null} truth
   * @param {number} threshold
   */
  counts(best, truth, threshold) {
    const limit = Math.fround(threshold);
    let tp = 0, predicted = 0, true_ = 0;
    for (let region = 0; region < this.count; region++) {
      const above = best[region] > limit, size = this.sizes[region];
      if (above) predicted += size;
      if (truth?.[region]) { true_ += size; if (above) tp += size; }
    }
    return { tp, predicted, true: true_ };
  }

  /**
   * What `counts` gives at every threshold: the steps, from the highest score on.
   * @param {Float32Array} best
   * @param {Uint8Array | null} truth
   */
  curve(best, truth) {
    const order = [...best.keys()].filter((region) => best[region] > -Infinity)
      .sort((a, b) => best[b] - best[a]);
    /** @type {import("./api.js").Curve} */
    const curve = { scores: [], tp: [], predicted: [], true: this.counts(best, truth, 2).true };
    let tp = 0, predicted = 0;
    order.forEach((region, place) => {
      predicted += this.sizes[region];
      if (truth?.[region]) tp += this.sizes[region];
      if (place + 1 < order.length && best[order[place + 1]] === best[region]) return;
      curve.scores.push(best[region]);
      curve.tp.push(tp);
      curve.predicted.push(predicted);
    });
    return curve;
  }
}

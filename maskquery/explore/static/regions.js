// An image as the server cuts it up: regions that lie in exactly the same masks and classes.
// Predictions, their pixels and every threshold's IoU follow from the regions alone, exactly.

export class Regions {
  constructor(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    Object.assign(this, JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))));
    let start = 4 + length;
    const arrays = {};
    for (const [name, [bytes, ...shape]] of Object.entries(this.arrays)) {
      arrays[name] = name === "members" ? new Uint8Array(buffer, start, bytes)
        : new Uint32Array(buffer, start, bytes / 4);
      this.stride = shape.at(-1); // of the members, which come last
      start += bytes + (4 - bytes % 4) % 4;
    }
    this.sizes = arrays.sizes;
    this.members = arrays.members;
    this.map = new Uint32Array(this.width * this.height); // the region of each pixel
    let pixel = 0;
    arrays.runs.forEach((region, run) => {
      this.map.fill(region, pixel, pixel += arrays.lengths[run]);
    });
  }

  get count() { return this.sizes.length; }

  inPlane(region, plane) {
    return (this.members[region * this.stride + (plane >> 3)] >> (7 - (plane & 7))) & 1;
  }

  // The masks that cover a region, the smallest first.
  masksAt(region) {
    const found = this.masks.map((_, mask) => mask).filter((mask) => this.inPlane(region, mask));
    return found.sort((a, b) => this.masks[a].area - this.masks[b].area);
  }

  // Where a class is in the ground truth, by region; null if that is not known.
  truthOf(name) {
    const place = this.truth.indexOf(name);
    if (place < 0) return null;
    return Uint8Array.from(this.sizes, (_, region) => this.inPlane(region, this.masks.length + place));
  }

  // The highest score of the masks that cover each region.
  best(scores) {
    const best = new Float32Array(this.count).fill(-Infinity);
    for (let region = 0; region < this.count; region++) {
      for (let mask = 0; mask < scores.length; mask++) {
        if (scores[mask] > best[region] && this.inPlane(region, mask)) best[region] = scores[mask];
      }
    }
    return best;
  }

  // Pixels at a threshold, which is compared as the pipeline does: as float32, "above".
  counts(best, truth, threshold) {
    const limit = Math.fround(threshold);
    let tp = 0, predicted = 0, true_ = 0;
    for (let region = 0; region < this.count; region++) {
      const found = best[region] > limit, size = this.sizes[region];
      if (found) predicted += size;
      if (truth?.[region]) { true_ += size; if (found) tp += size; }
    }
    return { tp, predicted, true: true_ };
  }

  // What `counts` gives at every threshold: the steps, from the highest score on.
  curve(best, truth) {
    const order = [...best.keys()].filter((region) => best[region] > -Infinity)
      .sort((a, b) => best[b] - best[a]);
    const found = { scores: [], tp: [], predicted: [], true: this.counts(best, truth, 2).true };
    let tp = 0, predicted = 0;
    order.forEach((region, place) => {
      predicted += this.sizes[region];
      if (truth?.[region]) tp += this.sizes[region];
      if (place + 1 < order.length && best[order[place + 1]] === best[region]) return;
      found.scores.push(best[region]);
      found.tp.push(tp);
      found.predicted.push(predicted);
    });
    return found;
  }
}

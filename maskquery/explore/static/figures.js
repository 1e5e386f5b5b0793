// @ts-check
// Figures at a threshold, from curves: scores (descending), tp and predicted (pixels with all
// masks of at least that score), true (pixels of the class in the ground truth).

/**
 * @typedef {import("./api.js").Curve} Curve
 * @typedef {{tp: number, predicted: number, true: number}} Counts
 * @typedef {[score: number, value: number][]} Steps
 */

/**
 * @param {Curve} curve
 * @param {number} threshold
 * @returns {Counts}
 */
export function at(curve, threshold) {
  const limit = Math.fround(threshold);
  let low = 0, high = curve.scores.length; // how many scores are above the limit
  while (low < high) {
    const middle = (low + high) >> 1;
    if (curve.scores[middle] > limit) low = middle + 1; else high = middle;
  }
  const tp = low ? curve.tp[low - 1] : 0, predicted = low ? curve.predicted[low - 1] : 0;
  return { tp, predicted, true: curve.true };
}

/**
 * 0 / 0, nothing predicted and nothing true, has no value: NaN.
 * @param {Counts} counts
 */
export const iou = ({ tp, predicted, true: true_ }) => tp / (predicted + true_ - tp);

/**
 * The mean over the images that show the class, as metrics.json has it; NaN if none does.
 * @param {Curve[]} curves
 * @param {number} threshold
 */
export function mean(curves, threshold) {
  const showing = curves.filter((curve) => curve.true);
  return showing.reduce((sum, curve) => sum + iou(at(curve, threshold)), 0) / showing.length;
}

/**
 * The mean at every threshold, exactly: [score, value below it], scores descending.
 * @param {Curve[]} curves
 * @returns {Steps}
 */
export function meanSteps(curves) {
  const showing = curves.filter((curve) => curve.true);
  /** @type {Steps} */
  const changes = [];
  for (const curve of showing) {
    let before = 0;
    for (const [score, value] of steps(curve)) {
      changes.push([score, value - before]);
      before = value;
    }
  }
  let sum = 0;
  return changes.sort((a, b) => b[0] - a[0]).map(([score, by]) => [score, (sum += by) / showing.length]);
}

/**
 * @param {Curve} curve
 * @returns {Steps}
 */
export const steps = (curve) => curve.scores.map((score, step) =>
  [score, curve.tp[step] / (curve.predicted[step] + curve.true - curve.tp[step])]);

/**
 * @param {number} value
 * @param {number} [digits]
 */
export const format = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** @param {number} count */
export const pixels = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");

// Figures at a threshold, from curves: scores (descending), tp and predicted (pixels with all
// masks of at least that score), true (pixels of the class in the ground truth).

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

// 0 / 0, nothing predicted and nothing true, has no value: NaN.
export const iou = ({ tp, predicted, true: true_ }) => tp / (predicted + true_ - tp);

// The mean over the images that show the class, as metrics.json has it; NaN if none does.
export function mean(curves, threshold) {
  const shown = curves.filter((curve) => curve.true);
  return shown.reduce((sum, curve) => sum + iou(at(curve, threshold)), 0) / shown.length;
}

// The mean at every threshold, exactly: [score, value below it], scores descending.
export function meanSteps(curves) {
  const shown = curves.filter((curve) => curve.true), changes = [];
  for (const curve of shown) {
    let before = 0;
    curve.scores.forEach((score, step) => {
      const value = curve.tp[step] / (curve.predicted[step] + curve.true - curve.tp[step]);
      changes.push([score, value - before]);
      before = value;
    });
  }
  let sum = 0;
  return changes.sort((a, b) => b[0] - a[0]).map(([score, by]) => [score, (sum += by) / shown.length]);
}

export const steps = (curve) => curve.scores.map((score, step) =>
  [score, curve.tp[step] / (curve.predicted[step] + curve.true - curve.tp[step])]);

export const shown = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "–");
export const pixels = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");

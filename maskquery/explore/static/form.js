// @ts-check
// The fields that say what is scored, and how: class, prompts, scoring.

import { $, bounded, grow, input, select, textarea } from "./dom.js";

/**
 * @typedef {import("./api.js").Settings} Settings
 * @typedef {import("./api.js").Workspace} Workspace
 */

export const TEXT = ""; // in place of a class: a text of no class

/** @param {string} text */
const lines = (text) => [...new Set(text.split("\n").map((line) => line.trim()).filter(Boolean))];

/** @param {Workspace} start */
export function fill(start) {
  for (const name of Object.keys(start.settings.classes)) select("class").add(new Option(name, name));
  select("class").add(new Option("any text", TEXT));
  for (const scoring of start.scorings) select("scoring").add(new Option(scoring, scoring));
  select("scoring").addEventListener("change", showNegatives);
  for (const id of ["prompts", "negatives"]) {
    textarea(id).addEventListener("input", () => grow(textarea(id)));
  }
  input("temperature").addEventListener("change", () => bounded(input("temperature")));
}

function showNegatives() {
  $("softmax").hidden = !["softmax", "relevancy"].includes(select("scoring").value);
  grow(textarea("negatives"));
}

/**
 * @param {Settings} settings
 * @param {string} name of a class, or `TEXT`
 */
export function showPrompts(settings, name) {
  select("class").value = name;
  textarea("prompts").value = (name === TEXT ? settings.text : settings.classes[name]).join("\n");
  textarea("prompts").placeholder = name === TEXT ? "a red chair" : "";
  grow(textarea("prompts"));
}

/** @param {Settings} settings */
export function showScoring({ scores: { scoring, negative_prompts: negatives, temperature } }) {
  select("scoring").value = scoring;
  textarea("negatives").value = negatives.join("\n");
  input("temperature").value = String(temperature);
  showNegatives();
}

/**
 * Settings with what the fields say.
 * @param {Settings} settings
 * @param {string} name of a class, or `TEXT`
 */
export function read(settings, name) {
  const changed = structuredClone(settings), prompts = lines(textarea("prompts").value);
  const temperature = bounded(input("temperature"));
  if (!prompts.length) throw new Error("prompts: write at least one, such as “a red chair”");
  if (Number.isNaN(temperature)) throw new Error("temperature: write a number, such as 0.05");
  if (name === TEXT) changed.text = prompts; else changed.classes[name] = prompts;
  changed.scores.scoring = select("scoring").value;
  changed.scores.negative_prompts = lines(textarea("negatives").value);
  changed.scores.temperature = temperature;
  return changed;
}

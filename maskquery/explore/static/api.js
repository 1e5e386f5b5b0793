// @ts-check
// Requests to the explorer's server. What it refuses is an Error with its sentence.

/**
 * @typedef {{
 *   view_weights: Record<string, number>, templates: string[], prompts: string, scoring: string,
 *   negative_prompts: string[], temperature: number, quality: number,
 * }} Scoring
 * @typedef {{classes: Record<string, string[]>, text: string[], scores: Scoring}} Settings
 * @typedef {{id: string, test: boolean}} ListedImage
 * @typedef {{
 *   version: string, images: ListedImage[], measured: string[], masks: number,
 *   thresholds: Record<string, number>, text_threshold: number | null, rule: string | null,
 *   reasons: string[], settings: Settings, scorings: string[], note: string | null,
 * }} Workspace
 * @typedef {{
 *   scores: number[][], left_out: number[][], prompts: string[], cosines: number[][],
 *   spread: [number, number][], adaptive: number[] | null,
 * }} Scored
 * @typedef {{scores: number[], tp: number[], predicted: number[], true: number}} Curve
 * @typedef {Curve & {image: string}} ImageCurve
 * @typedef {{image: string, mask_id: string, similarity: number}} Hit
 */

// The browser keeps pictures by their address, so it names the server that they are from.
let version = "";

/** @param {string} name */
export const servedAs = (name) => { version = name; };

/**
 * The address of a picture.
 * @param {"picture" | "thumbnail" | "crop"} kind
 * @param {string} image
 * @param {string} [mask]
 */
export const picture = (kind, image, mask) =>
  `/api/${kind}?` + new URLSearchParams({ image, ...(mask === undefined ? {} : { mask }), version });

/** @param {Response} response */
async function accept(response) {
  if (response.ok) return response;
  let problem = "";
  try { problem = (await response.json()).error; } catch { /* not the server's own words */ }
  throw new Error(problem || `the server answered ${response.status}`);
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch {
    throw new Error("the server does not answer: is `make explore` still running?");
  }
}

/** @param {string} path */
export async function get(path) {
  return accept(await send(path));
}

/**
 * The answer to a question, both in JSON.
 * @param {string} path
 * @param {object} body
 * @returns {Promise<any>}
 */
export async function post(path, body) {
  const response = await send(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return (await accept(response)).json();
}

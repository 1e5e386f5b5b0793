// @ts-check
// The page's elements, each with its type.

/**
 * The element of an id, which is in index.html.
 * @template {Element} T
 * @param {string} id
 * @param {abstract new (...args: any[]) => T} kind
 * @returns {T}
 */
function typed(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} ${id}`);
  return element;
}

/** @param {string} id */
export const $ = (id) => typed(id, HTMLElement);
/** @param {string} id */
export const button = (id) => typed(id, HTMLButtonElement);
/** @param {string} id */
export const canvas = (id) => typed(id, HTMLCanvasElement);
/** @param {string} id */
export const image = (id) => typed(id, HTMLImageElement);
/** @param {string} id */
export const input = (id) => typed(id, HTMLInputElement);
/** @param {string} id */
export const select = (id) => typed(id, HTMLSelectElement);
/** @param {string} id */
export const svg = (id) => typed(id, SVGSVGElement);
/** @param {string} id */
export const textarea = (id) => typed(id, HTMLTextAreaElement);

/**
 * A new element. Texts are text and nothing else.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function create(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Make a box as high as its lines; style.css bounds it.
 * @param {HTMLTextAreaElement} area
 */
export function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}

/**
 * The value of a number field within its bounds, which the field then shows; NaN if it is empty.
 * @param {HTMLInputElement} field
 */
export function bounded(field) {
  const value = field.valueAsNumber;
  if (Number.isNaN(value)) return NaN;
  const low = field.min === "" ? -Infinity : Number(field.min);
  const high = field.max === "" ? Infinity : Number(field.max);
  const within = Math.min(high, Math.max(low, value));
  if (within !== value) field.valueAsNumber = within;
  return within;
}

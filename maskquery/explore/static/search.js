// @ts-check
// Search through the masks of all images, by a text or by a mask.

import { picture, post } from "./api.js";
import { $, create, input, select } from "./dom.js";
import { format } from "./figures.js";

/** @typedef {{text: string | null, image: string | null, mask: string | null}} Question */

export class Search {
  round = Symbol();

  /**
   * @param {(promise: Promise<void>) => void} guard shows what goes wrong
   * @param {(image: string, mask: string) => string} linkTo where a result leads
   */
  constructor(guard, linkTo) {
    this.guard = guard;
    this.linkTo = linkTo;
    $("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = input("query").value.trim();
      if (text) guard(this.find({ text, image: null, mask: null }, `“${text}”`));
    });
  }

  /**
   * @param {string} image
   * @param {string} mask
   */
  like(image, mask) {
    input("query").value = "";
    this.guard(this.find({ text: null, image, mask }, `the mask ${mask} of ${image}`));
  }

  /**
   * @param {Question} question
   * @param {string} name
   */
  async find(question, name) {
    const round = (this.round = Symbol());
    $("search-status").textContent = `looking for ${name} …`;
    /** @type {import("./api.js").Hit[]} */
    let hits = [];
    try {
      hits = await post("/api/search", { ...question, count: Number(select("count").value) });
    } finally {
      if (round === this.round) $("search-status").textContent = "";
    }
    if (round !== this.round) return;
    $("search-status").textContent = hits.length
      ? `The ${hits.length} masks most similar to ${name}` : "There is no mask in any image.";
    $("results").replaceChildren(...hits.map((hit) => this.result(hit)));
  }

  /** @param {import("./api.js").Hit} hit */
  result({ image, mask_id, similarity }) {
    const link = create("a", { href: this.linkTo(image, mask_id) },
      create("img", { loading: "lazy", alt: `Mask in ${image}`, src: picture("crop", image, mask_id) }),
      create("div", { className: "text" },
        create("span", { className: "name", dir: "auto", textContent: image, title: image }),
        create("b", { textContent: format(similarity, 3) })));
    const similar = create("button", { type: "button", textContent: "Find similar" });
    similar.setAttribute("aria-label", `Find masks similar to this one of ${image}`);
    similar.addEventListener("click", () => this.like(image, mask_id));
    return create("li", {}, link, similar);
  }
}

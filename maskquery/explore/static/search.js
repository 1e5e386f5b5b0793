// Search through the masks of all images, by a text or by a mask.

import { picture, post } from "./api.js";
import { shown } from "./figures.js";

const $ = (id) => document.getElementById(id);

export class Search {
  // guard(promise): shows what goes wrong; linkTo(image, mask): where a result leads.
  constructor(guard, linkTo) {
    this.linkTo = linkTo;
    this.guard = guard;
    $("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = $("query").value.trim();
      if (text) guard(this.find({ text, image: null, mask: null }, `“${text}”`));
    });
  }

  like(image, mask) {
    $("query").value = "";
    this.guard(this.find({ text: null, image, mask }, `the mask ${mask} of ${image}`));
  }

  async find(what, name) {
    const round = (this.round = Symbol());
    $("found").textContent = `looking for ${name} …`;
    let hits = [];
    try {
      hits = await post("/api/search", { ...what, count: Number($("count").value) });
    } finally {
      if (round === this.round) $("found").textContent = "";
    }
    if (round !== this.round) return;
    $("found").textContent = `The ${hits.length} masks most similar to ${name}`;
    $("results").replaceChildren(...hits.map((hit) => this.result(hit)));
  }

  result({ image, mask_id, similarity }) {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = this.linkTo(image, mask_id);
    const crop = Object.assign(document.createElement("img"), { loading: "lazy", alt: `Mask in ${image}` });
    crop.src = picture("crop", image, mask_id);
    const text = Object.assign(document.createElement("div"), { className: "text" });
    text.append(
      Object.assign(document.createElement("span"), { className: "name", textContent: image, title: image }),
      Object.assign(document.createElement("b"), { textContent: shown(similarity, 3) }));
    link.append(crop, text);
    const similar = Object.assign(document.createElement("button"),
      { type: "button", textContent: "Find similar" });
    similar.setAttribute("aria-label", `Find masks similar to this one of ${image}`);
    similar.addEventListener("click", () => this.like(image, mask_id));
    item.append(link, similar);
    return item;
  }
}

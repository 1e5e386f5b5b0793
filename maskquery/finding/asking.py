"""What params.yaml says, for prompts of one's own in place of its classes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskquery.core.errors import UsageError


def prompts_of(prompts: str | Sequence[str]) -> list[str]:
    """Each prompt once.

    Raises:
        UsageError: there is none, or an empty one.
    """
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts or any(not prompt.strip() for prompt in prompts):
        raise UsageError("a prompt must not be empty", "say what to find, such as 'a red chair'")
    return list(dict.fromkeys(prompts))


def asking(document: Mapping[str, Any], negatives: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The contents of a params.yaml that asks for prompts, each against its own, see `against`.

    `scores.negative_prompts` has the negatives of all prompts.
    """
    chosen = {**document, "classes": {prompt: [prompt] for prompt in negatives}}
    if isinstance(scores := document.get("scores"), dict):
        every = list(dict.fromkeys(text for texts in negatives.values() for text in texts))
        chosen["scores"] = {
            **scores,
            "templates": ["{}"],
            "prompts": "best",
            "negative_prompts": every,
        }
    if isinstance(selection := document.get("selection"), dict):
        # Of "a chair" and "a red chair" neither excludes the other.
        chosen["selection"] = {**selection, "exclusive": "none"}
    return chosen


def against(document: Mapping[str, Any], prompt: str) -> tuple[str, ...]:
    """What stands against a prompt: `scores.negative_prompts` and the classes that it does not
    name.

    Other prompts do not, so what is found of one depends on no other.
    """
    scores, classes = document.get("scores"), document.get("classes")
    if not isinstance(scores, dict) or not isinstance(classes, dict):
        return ()  # the document is to be refused in words
    negatives = [(text,) for text in scores.get("negative_prompts") or ()]
    negatives += [(texts[0], name, *texts) for name, texts in classes.items() if texts]
    return tuple(dict.fromkeys(texts[0] for texts in negatives if not names(prompt, texts)))


def names(prompt: str, texts: Iterable[Any]) -> bool:
    """Whether a prompt has one of these in it, as whole words: "red chairs" names "a chair"."""
    bare = (re.sub(r"^(an?|the)\s+", "", str(text).strip().lower()) for text in texts)
    return any(re.search(rf"(?<!\w){re.escape(t)}(s|es)?(?!\w)", prompt.lower()) for t in bare)

"""The explorer: a page to look at masks, scores and predictions; `make explore`.

It reads what the pipeline has stored and runs no model, except CLIP's text encoder for a text that
is new. Letters of shapes: N masks, C classes, P prompts, D numbers of an embedding, I images, H x W
pixels, W8 = ceil(W / 8) bytes.
"""

"""From embeddings and prompts to scores: class embeddings, similarity, scores.

It imports `clip` (for texts), `jobs`, `tables` and what is below. Torch is loaded only for prompts
that are new.
"""

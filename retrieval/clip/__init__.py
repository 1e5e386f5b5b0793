"""Images and words as CLIP embeddings; `crops`, `settings` and `texts` do without torch."""

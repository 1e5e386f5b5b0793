"""Masks of everything in an image by SAM; `settings` alone can be imported without torch."""

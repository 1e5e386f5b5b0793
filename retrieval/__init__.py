"""Find objects in images by text: masks from SAM, similarities from CLIP, and how good they are."""

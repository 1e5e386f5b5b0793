"""Find objects in images by text: masks from SAM, similarities from CLIP, scores against ground truth."""

"""The demonstration: rendered rooms, and the recipes that train the tiny models on them."""

"""Rooms from another renderer than the demo's: what was not fitted to them is measured on them."""

"""The DVC stages, one short module each, named after what they make."""

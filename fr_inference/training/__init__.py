"""Training of targets and shadow models."""

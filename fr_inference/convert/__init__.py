"""Checkpoint files of other frameworks, read safely."""

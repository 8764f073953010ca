"""Checkpoints to variables: one table of names for each family."""

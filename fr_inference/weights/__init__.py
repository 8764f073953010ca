"""Converts checkpoints to variables, with a table of names for each family."""

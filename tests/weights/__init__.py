"""Checkpoints as variables: names of each family, native folders, embedded networks."""

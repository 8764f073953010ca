"""Distances, the attack model, protocol and controls."""

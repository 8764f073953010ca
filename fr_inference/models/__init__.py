"""Backbones as pure Linen modules."""

"""The backbones and their layers."""

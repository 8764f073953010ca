"""Faces: sources of (image, identity, path) records."""

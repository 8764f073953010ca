"""The measurements of every image."""

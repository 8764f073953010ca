"""The backbone families: one file each, with the rows of its variants.

A new file here is a new family. Its table `VARIANTS` (name -> `variants.Variant`) is all that the
registry reads, so that its names appear in `--arch` without an edit elsewhere.
"""

"""The backbone families: one file for each, with a table of its variants.

A new file here is a new family. The registry reads only its table `VARIANTS` (name ->
`variants.Variant`), so its names appear in `--arch` without a change elsewhere.
"""

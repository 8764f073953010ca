"""Sources of faces, their splits, alignment and loading."""

"""Stage 1: membership inference from distances to the BatchNorm statistics."""

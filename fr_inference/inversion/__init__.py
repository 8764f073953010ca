"""Stage 2: reconstructing training faces with a generator, guided by the membership attack."""

"""Model inversion: reconstructing training faces with a generator, every search with controls."""

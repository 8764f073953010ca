"""Faster forms of plain operations, each for one platform; `seam` chooses among them."""

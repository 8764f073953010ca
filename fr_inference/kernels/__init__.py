"""Faster forms of plain operations for one platform each; `seam` chooses among them."""

"""The faster forms of single platforms against the plain operations."""

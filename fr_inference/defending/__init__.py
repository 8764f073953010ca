"""Defences: what may keep a backbone from giving away the faces that it was trained on."""

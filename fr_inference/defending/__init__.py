"""Defences that may keep a backbone from giving away the faces it was trained on."""

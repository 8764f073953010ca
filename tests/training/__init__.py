"""Margins and the trainer."""

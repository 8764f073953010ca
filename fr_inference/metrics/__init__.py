"""Figures of merit with intervals."""

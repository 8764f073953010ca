"""Tests of fr_inference.cli."""

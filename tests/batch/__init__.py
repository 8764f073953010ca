"""Tests of fr_inference.batch."""

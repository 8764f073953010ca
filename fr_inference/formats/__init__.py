"""Readers of untrusted files: nothing in them is executed, and every size is bounded."""

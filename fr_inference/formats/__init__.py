"""Strangers' bytes to inert arrays: nothing is executed, every size is bounded."""

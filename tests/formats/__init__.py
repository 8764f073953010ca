"""Checkpoint files of other frameworks, honest ones and hostile ones; `writer` makes them."""

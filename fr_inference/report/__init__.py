"""The report a data-protection officer can read."""

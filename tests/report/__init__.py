"""The verdict and the report."""

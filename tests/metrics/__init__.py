"""Figures of merit against closed forms, scikit-learn, SciPy and simulation."""

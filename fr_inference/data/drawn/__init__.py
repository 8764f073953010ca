"""The drawing program: faces of people who do not exist."""

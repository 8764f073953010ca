"""What is kept of every image."""

"""What a program takes on machines that are not here: memory, time and money."""

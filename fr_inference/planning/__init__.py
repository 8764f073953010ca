"""Plans the memory, time and cost of a program on machines that are not present."""

"""What a program needs on machines that are not here: does it fit, what bounds it, how long, what it costs."""

"""What is done for a platform's sake, chosen where a program is compiled."""

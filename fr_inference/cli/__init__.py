"""The command line: flags from config classes, exit codes, progress bars, several processes."""

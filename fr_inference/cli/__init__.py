"""The command line: flags made of config classes, exit codes, progress bars, several processes."""

"""One file for each of the attacks: what it computes, what it finds, and that it finds nothing else."""

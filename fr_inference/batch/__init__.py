"""Many audits from a table: the options of each row, its folder, and how the rows are run."""

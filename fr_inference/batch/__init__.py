"""Many audits from a table: what each row asks for, its folder, how the rows are run."""

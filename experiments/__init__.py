"""Programs: absl flags -> frozen config -> one library call."""

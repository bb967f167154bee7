"""What takes an offer or a candidate out: one class a file, found by its `name`."""

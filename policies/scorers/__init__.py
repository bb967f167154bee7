"""What speaks for or against a candidate: one class a file, found by its `name`."""

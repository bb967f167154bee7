"""What orders scored candidates: one class a file, found by its `name`."""

"""Programs that show the product; each is run by a test."""

"""Routing under load, played through in simulated time with the policies that production runs."""

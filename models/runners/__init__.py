"""Local generation: torch lives here and nowhere else."""

"""A gang in simulated time: the production scheduler beside other people's and beside parts of itself."""

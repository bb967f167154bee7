"""What the product costs, each figure beside a peer measured in the same run: `python -m benchmarks`."""

"""Adapters to hosted providers and to engines that already run, all over one httpx seam."""

"""Seconds per denoising step of real-size models on a real GPU, and what each speed lever is worth there.

`python -m benchmarks.gpu` builds the published transformers and codecs from their configurations with random
weights, straight on the device: no hub, no text encoder, no picture. See `docs/gpu.md`.
"""

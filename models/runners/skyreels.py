"""SkyReels-V2 image-to-video: Wan 2.1's codec and way of conditioning under a class of its own."""

from __future__ import annotations

from typing import Any

from models.runners.wan import WanFamily


class SkyReelsFamily(WanFamily):
    """`SkyReelsV2ImageToVideoPipeline` of diffusers."""

    pipeline = "SkyReelsV2ImageToVideoPipeline"

    def takes_last_image(self, pipe: Any) -> bool:
        """Only with position embeddings for the CLIP tokens of two pictures, as its FLF checkpoints have."""
        config = pipe.transformer.config
        return config.image_dim is None or config.pos_embed_seq_len is not None

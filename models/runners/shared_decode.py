"""Wan's codec decodes large clips in tiles; here the ranks of a crew share the tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.distributed as dist
from diffusers.models.autoencoders.vae import DecoderOutput

from models.runners.families import tile_when_large
from models.runners.lost_peers import typed_peers

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from models.runners.families import Segment

    Corner: TypeAlias = tuple[int, int]
    """Upper left corner of a tile, in latent cells."""


def tiled(vae: Any, segment: Segment) -> bool:
    """True when an `AutoencoderKLWan` decodes that segment in tiles."""
    tile_when_large(vae, segment)
    return bool(vae.use_tiling)


@contextmanager
def shared_tiles(vae: Any, group: ProcessGroup, leader: int) -> Iterator[None]:
    """While the body runs, an `AutoencoderKLWan` that decodes in tiles shares them over the group.

    Tiles go round robin; every other rank sends its own to the leader, which puts them together with the
    codec's own code, so that the result is that of one process, bit for bit. The others get an empty picture.

    Args:
        vae: The codec.
        group: Its ranks all decode the same latents.
        leader: Rank within the gang of the one that gets the pictures, the group's first.

    Raises:
        RankLost: from within the body, when another rank is gone.
    """
    alone = vae.tiled_decode

    def shared(z: torch.Tensor, return_dict: bool = True) -> Any:
        with typed_peers("sharing tiles"):
            tiles = _tiles(vae, z, group, leader)
        if tiles is None:
            nothing = z.new_zeros(1, 3, 0, 1, 1)
            return DecoderOutput(sample=nothing) if return_dict else (nothing,)
        with _decoded_before(vae.decoder, [tiles[corner] for corner in _corners(vae, z)]):
            return alone(z, return_dict=return_dict)

    vae.tiled_decode = shared
    try:
        yield
    finally:
        del vae.tiled_decode  # the class has its own


def _corners(vae: Any, z: torch.Tensor) -> list[Corner]:
    """In the codec's own order."""
    cell = vae.spatial_compression_ratio
    rows = range(0, z.shape[3], vae.tile_sample_stride_height // cell)
    columns = range(0, z.shape[4], vae.tile_sample_stride_width // cell)
    return list(product(rows, columns))


def _cut(vae: Any, z: torch.Tensor, corner: Corner) -> torch.Tensor:
    cell = vae.spatial_compression_ratio
    top, left = corner
    bottom, right = top + vae.tile_sample_min_height // cell, left + vae.tile_sample_min_width // cell
    return z[:, :, :, top:bottom, left:right]


def _decode(vae: Any, tile: torch.Tensor) -> torch.Tensor:
    """One tile, latent frame by latent frame, as `AutoencoderKLWan.tiled_decode` does it."""
    frames = []
    vae.clear_cache()
    try:
        for index in range(tile.shape[2]):
            vae._conv_idx = [0]
            cells = vae.post_quant_conv(tile[:, :, index : index + 1])
            frames.append(
                vae.decoder(cells, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=index == 0)
            )
    finally:
        vae.clear_cache()
    return torch.cat(frames, dim=2)


def _tiles(
    vae: Any, z: torch.Tensor, group: ProcessGroup, leader: int
) -> Mapping[Corner, torch.Tensor] | None:
    """All of them on the leader, None elsewhere."""
    corners, ranks, me = _corners(vae, z), dist.get_process_group_ranks(group), dist.get_rank()
    owners = {corner: ranks[index % len(ranks)] for index, corner in enumerate(corners)}
    mine = {corner: _decode(vae, _cut(vae, z, corner)) for corner in corners if owners[corner] == me}
    if me != leader:
        for tile in mine.values():
            dist.send(tile.contiguous(), dst=leader, group=group)
        return None
    first = mine[corners[0]]
    zoom = first.shape[-1] // _cut(vae, z, corners[0]).shape[-1]
    for corner in corners:
        if owners[corner] != me:
            height, width = (size * zoom for size in _cut(vae, z, corner).shape[-2:])
            mine[corner] = first.new_empty(*first.shape[:3], height, width)
            dist.recv(mine[corner], src=owners[corner], group=group)
    return mine


@contextmanager
def _decoded_before(decoder: Any, tiles: list[torch.Tensor]) -> Iterator[None]:
    """The decoder answers with these tiles, in order.

    It is called once for each latent frame and its answers are joined along time: the first call of a tile is
    answered with all its frames, the others with none.
    """
    waiting = iter(tiles)
    tile = tiles[0]

    def answer(*_: object, first_chunk: bool = False, **__: object) -> torch.Tensor:
        nonlocal tile
        if first_chunk:
            tile = next(waiting)
            return tile
        return tile[:, :, :0]

    decoder.forward = answer
    try:
        yield
    finally:
        del decoder.forward  # the class has its own

"""Components that the tiny checkpoints of several families share."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing


def seeded(build: Callable[[], Any], seed: int = 0) -> Any:
    """Build one component under a fixed seed, in eval mode."""
    torch.manual_seed(seed)
    return build().eval()


def t5_tokenizer() -> Any:
    """A unigram tokenizer over single printable characters: needs no vocabulary file."""
    letters, printable = string.ascii_letters + string.digits, string.printable.strip()
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    vocabulary = special + [("\u2581" + c, -3.0) for c in letters] + [(c, -4.0) for c in printable]
    return transformers.T5Tokenizer(extra_ids=0, vocab=vocabulary)


def word_tokenizer(*, padding_side: str) -> Any:
    """A handful of words and nothing else: stands in for the tokenizers of Gemma and Llama."""
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    words = [*marks.values(), "a", "cat", "dances", "the", "dog", "on", "beach"]
    core = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, marks["unk_token"]))
    core.pre_tokenizer = Whitespace()
    core.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, padding_side=padding_side, **marks)


def t5_encoder(width: int, layers: int, vocabulary: int, *, multilingual: bool) -> Any:
    """A small T5 (or UMT5) encoder with gated GELU."""
    config_class = transformers.UMT5Config if multilingual else transformers.T5Config
    model_class = transformers.UMT5EncoderModel if multilingual else transformers.T5EncoderModel
    config = config_class(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=max(8, width // 12),
        d_ff=2 * width,
        num_layers=layers,
        num_heads=4 if width < 128 else 12,
        relative_attention_num_buckets=8,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
    )
    return seeded(lambda: model_class(config))


def clip_config(width: int, size: int, patch: int) -> Any:
    """A two-layer CLIP vision tower."""
    return transformers.CLIPVisionConfig(
        hidden_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=patch,
        intermediate_size=2 * width,
    )


def clip_processor(size: int) -> Any:
    """The Pillow one: torchvision is not needed."""
    return transformers.CLIPImageProcessorPil(size=size, crop_size=size)

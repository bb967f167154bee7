"""Bracketed form names nest as the OpenAI client flattened them."""

from __future__ import annotations

import pytest

from models.errors import InvalidRequest
from router.multipart import expand


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("prompt", "x")], {"prompt": "x"}),
        ([("routing[objective]", "speed")], {"routing": {"objective": "speed"}}),
        ([("tags[]", "a"), ("tags[]", "b")], {"tags": ["a", "b"]}),
        ([("camera", "a"), ("camera", "b"), ("camera", "c")], {"camera": ["a", "b", "c"]}),
        ([("camera[0][move]", "pan_left")], {"camera": [{"move": "pan_left"}]}),
        ([("camera[1]", "b"), ("camera[0]", "a")], {"camera": ["a", "b"]}),
        (
            # openai 3.52 groups the fields of a list of mappings by name, not by element.
            [
                ("f[][type]", "image"),
                ("f[][type]", "image"),
                ("f[][image_url][url]", "u1"),
                ("f[][image_url][url]", "u2"),
                ("f[][frame]", "first"),
                ("f[][frame]", "last"),
            ],
            {
                "f": [
                    {"type": "image", "image_url": {"url": "u1"}, "frame": "first"},
                    {"type": "image", "image_url": {"url": "u2"}, "frame": "last"},
                ]
            },
        ),
        ([("f[][a]", "1"), ("f[][b]", "2")], {"f": [{"a": "1", "b": "2"}]}),
        ([], {}),
    ],
)
def test_names_nest(pairs: list[tuple[str, str]], expected: dict[str, object]) -> None:
    assert expand(pairs) == expected


@pytest.mark.parametrize(
    ("pairs", "param"),
    [
        ([("a[", "1")], "a["),
        ([("a]b", "1")], "a]b"),
        ([("", "1")], ""),
        ([("a[b", "1")], "a[b"),
        ([("a[][]", "1")], "a[][]"),
        ([("a[b][c][d][e][f]", "1")], "a[b][c][d][e][f]"),
        ([("x" * 65, "1")], "x" * 65),
        ([("a", "1"), ("a[b]", "2")], "a[b]"),
        ([("a[b]", "1"), ("a", "2")], "a"),
        ([("a[0]", "1"), ("a[b]", "2")], "a"),
        ([("a[64]", "1")], "a[64]"),
        ([("a[]", str(n)) for n in range(65)], "a[]"),
        ([("a", str(n)) for n in range(66)], "a"),
    ],
)
def test_malformed_names_are_refused_by_name(pairs: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        expand(pairs)
    assert caught.value.param == param


def test_a_tree_of_fields_is_bounded() -> None:
    """A name nests at most four deep, so no form can build a structure that recursion cannot walk."""
    deep = expand([("a[b][c][d][e]", "1")])
    assert deep == {"a": {"b": {"c": {"d": {"e": "1"}}}}}

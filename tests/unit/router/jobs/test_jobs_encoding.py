from __future__ import annotations

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidRequest
from router.jobs.encoding import check_text, encode_json, media_keys
from router.jobs.records import JobStatus

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec=None)), inner),
    max_leaves=20,
)
SOUND = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab\\u0é"\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\\u0"), inner),
    max_leaves=20,
)


@given(TREES)
def test_whatever_comes_is_storable(tree):
    text = encode_json(tree)
    text.encode()
    json.loads(text, parse_constant=pytest.fail)
    assert "\0" not in str(json.loads(text))


@given(SOUND)
def test_what_is_sound_is_kept(tree):
    assert json.loads(encode_json(tree)) == tree


def test_read_only_mappings_and_word_enums_are_json():
    assert encode_json({"a": MappingProxyType({"b": JobStatus.QUEUED})}) == '{"a":{"b":"queued"}}'


def test_what_is_not_json_is_a_programming_error():
    with pytest.raises(TypeError):
        encode_json({"a": object()})


@pytest.mark.parametrize("text", ["a\0", "\udfff"])
def test_unstorable_text_names_its_field(text):
    with pytest.raises(InvalidRequest) as caught:
        check_text("prompt", text)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("text", [None, "", "ö 木 \N{GRINNING FACE}"])
def test_other_text_passes(text):
    check_text("prompt", text)


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        (None, ()),
        ({}, ()),
        ({"media": None}, ()),
        ({"media": {"image": {"key": "a", "sha256": "b"}, "last_image": "c", "audio": None}}, ("a", "c")),
        ({"media": [{"key": "a"}, {"key": "a"}, "b"]}, ("a", "b")),
        ({"media": {"video": {"key": "a", "bytes": 3}, "parts": [{"key": "b"}]}, "key": "no"}, ("a", "b")),
    ],
)
def test_media_keys_are_found_once_and_in_order(document, keys):
    assert media_keys(document) == keys

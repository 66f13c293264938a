"""The arithmetic behind the rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.checkpoints import SHAPES, Shape
from benchmarks.encode import fastest_batch_size, needed_flops

ONE = Shape(
    name="one",
    layers=1,
    hidden=8,
    intermediate=16,
    heads=2,
    key_heads=1,
    head=4,
    vocabulary=50,
    response_tokens=2,
    documents=1,
    queries=1,
)
TWO = replace(ONE, name="two", layers=2)


def test_weights_of_a_layer():
    # keys and values 8 x 4 each; queries and output 8 x 8 each; three of 8 x 16
    assert ONE.key_value_weights == 64
    assert ONE.layer_weights == 64 + 128 + 384


def test_one_layer_reads_the_response_tokens_alone():
    keys_and_values = 2 * 64 * 5
    rest = 2 * (128 + 384) * 2
    attention = 4 * 8 * (4 + 5)
    assert needed_flops(ONE, [5], prefix=0) == keys_and_values + rest + attention


def test_layers_before_the_last_compute_every_token():
    body = 2 * 576 * 5 + 4 * 8 * (1 + 2 + 3 + 4 + 5)
    assert needed_flops(TWO, [5], prefix=0) == needed_flops(ONE, [5], prefix=0) + body


def test_a_shared_prefix_costs_nothing_but_the_attention_to_it():
    body = 2 * 576 * 3 + 4 * 8 * (3 + 4 + 5)
    last = 2 * 64 * 3 + 2 * 512 * 2 + 4 * 8 * (4 + 5)
    assert needed_flops(TWO, [5], prefix=2) == body + last


def test_texts_add_up():
    both = needed_flops(TWO, [5, 9], prefix=1)
    assert both == needed_flops(TWO, [5], prefix=1) + needed_flops(TWO, [9], prefix=1)


def test_the_large_shape_has_half_a_billion_weights():
    shape = SHAPES["0.6b"]
    assert shape.layers * shape.layer_weights == pytest.approx(440e6, rel=0.01)


def timed(seconds):
    """Return what takes these seconds for each size, and the sizes that it was asked for."""
    asked = []

    def encode(batch_size):
        asked.append(batch_size)
        return seconds[batch_size].pop(0)

    return encode, asked


def test_sizes_are_tried_from_the_smallest_until_one_is_clearly_slower():
    encode, asked = timed({1: [3.0], 2: [1.0], 4: [2.0], 8: [0.1]})
    assert fastest_batch_size(encode, 12, (1, 2, 4, 8)) == (2, {1: 3.0, 2: 1.0, 4: 2.0})
    assert asked == [1, 2, 4]


def test_close_sizes_are_timed_again_and_the_better_time_counts():
    encode, asked = timed({1: [1.05, 0.8], 2: [1.0, 1.0], 4: [2.0]})
    assert fastest_batch_size(encode, 12, (1, 2, 4, 8)) == (1, {1: 0.8, 2: 1.0, 4: 2.0})
    assert asked == [1, 2, 4, 2, 1]


def test_no_size_beyond_the_number_of_texts_is_tried():
    encode, asked = timed({1: [2.0], 2: [1.0]})
    assert fastest_batch_size(encode, 2, (1, 2, 4))[0] == 2
    assert asked == [1, 2]

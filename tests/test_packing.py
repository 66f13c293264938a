"""Texts one behind the other, and apart again."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.packing import Packing, spare_rows


@pytest.mark.parametrize("lengths", [[3], [2, 2], [3, 1, 2], [1, 4]])
def test_what_is_spread_and_packed_is_as_it_was(lengths):
    packing = Packing(lengths)
    rows = torch.arange(1, sum(lengths) + 1)[:, None] * torch.tensor([1.0, 10.0])
    spread = packing.spread(rows)
    assert spread.shape == (len(lengths), max(lengths), 2)
    assert torch.equal(packing.packed(spread), rows)
    parts = [text[:length] for text, length in zip(spread, lengths, strict=True)]
    assert torch.equal(torch.cat(parts), rows)


def test_spare_rows_stand_behind_all_and_change_nothing():
    packing = Packing([2, 1], spare=2)
    rows = torch.arange(5.0)[:, None]
    assert packing.rows == len(packing.positions) == 5
    spread = packing.spread(rows)
    assert spread[0, :, 0].tolist() == [0, 1]
    assert spread[1, 0, 0] == 2
    packed = packing.packed(spread)
    assert packed.shape == rows.shape
    assert torch.equal(packed[:3], rows[:3])


def test_as_many_rows_as_padded_places_are_not_taken_for_even():
    packing = Packing([3, 2, 3], spare=1)
    rows = torch.arange(9.0)[:, None]
    spread = packing.spread(rows)
    assert spread[2, :, 0].tolist() == [5, 6, 7]
    assert torch.equal(packing.packed(spread)[:8], rows[:8])


@pytest.mark.parametrize(("tokens", "spare"), [(31, 0), (256, 0), (257, 15), (700, 4)])
def test_many_rows_come_in_multiples(tokens, spare):
    assert spare_rows(tokens) == spare


def test_positions_count_from_zero_in_every_text():
    assert Packing([3, 1, 2]).positions.tolist() == [0, 1, 2, 0, 0, 1]

"""Texts concatenated without padding, and padded again."""

from __future__ import annotations

import pytest
import torch

from llm2vec_gen_rag.cpu.packing import ROUND_FROM_TOKENS, Packing, packing_of_few_sizes


@pytest.mark.parametrize("lengths", [[3], [2, 2], [3, 1, 2], [1, 4]])
def test_unpadding_inverts_padding(lengths):
    packing = Packing(lengths)
    rows = torch.arange(1, sum(lengths) + 1)[:, None] * torch.tensor([1.0, 10.0])
    padded = packing.pad(rows)
    assert padded.shape == (len(lengths), max(lengths), 2)
    assert torch.equal(packing.unpad(padded), rows)
    parts = [text[:length] for text, length in zip(padded, lengths, strict=True)]
    assert torch.equal(torch.cat(parts), rows)


def test_spare_rows_follow_all_texts_and_change_nothing():
    packing = Packing([2, 1], rows=5)
    rows = torch.arange(5.0)[:, None]
    assert packing.rows == len(packing.positions) == 5
    padded = packing.pad(rows)
    assert padded[0, :, 0].tolist() == [0, 1]
    assert padded[1, 0, 0] == 2
    packed = packing.unpad(padded)
    assert packed.shape == rows.shape
    assert torch.equal(packed[:3], rows[:3])


def test_as_many_rows_as_padded_ones_are_not_taken_for_a_rectangle():
    packing = Packing([3, 2, 3], rows=9)
    rows = torch.arange(9.0)[:, None]
    padded = packing.pad(rows)
    assert padded[2, :, 0].tolist() == [5, 6, 7]
    assert torch.equal(packing.unpad(padded)[:8], rows[:8])


def test_a_width_beyond_the_longest_pads_and_changes_nothing():
    packing = Packing([2, 2], width=3)
    rows = torch.arange(4.0)[:, None]
    padded = packing.pad(rows)
    assert padded.shape == (2, 3, 1)
    assert padded[:, :2, 0].tolist() == [[0, 1], [2, 3]]
    assert torch.equal(packing.unpad(padded), rows)


def test_many_rows_are_rounded_up_to_few_sizes():
    sizes = range(ROUND_FROM_TOKENS, 2_049)
    packings = [packing_of_few_sizes([tokens - 20, 20]) for tokens in sizes]
    assert len({packing.rows for packing in packings}) <= 3 * 32 + 1
    assert len({packing.width for packing in packings}) <= len(sizes) // 8 + 1
    for tokens, packing in zip(sizes, packings, strict=True):
        assert tokens <= packing.rows < tokens * (1 + 1 / 32)
        assert tokens - 20 <= packing.width < tokens - 20 + 8


def test_one_text_of_many_rows_is_not_copied():
    packing = packing_of_few_sizes([ROUND_FROM_TOKENS + 1])
    rows = torch.arange(float(packing.rows))[:, None]
    padded = packing.pad(rows)
    assert padded.data_ptr() == packing.unpad(padded).data_ptr() == rows.data_ptr()
    assert torch.equal(padded[0, : ROUND_FROM_TOKENS + 1], rows[: ROUND_FROM_TOKENS + 1])
    assert packing.positions[: ROUND_FROM_TOKENS + 1].tolist() == list(range(ROUND_FROM_TOKENS + 1))


def test_few_rows_are_not_rounded_up():
    packing = packing_of_few_sizes([30, 19])
    assert (packing.rows, packing.width) == (49, 30)


def test_positions_count_from_zero_in_every_text():
    assert Packing([3, 1, 2]).positions.tolist() == [0, 1, 2, 0, 0, 1]

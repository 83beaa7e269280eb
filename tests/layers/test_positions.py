"""Position codes against MAE's integer formula."""

import math

import torch

from vosbench.layers.positions import sine_cosine_2d


def test_at_the_training_grid_the_code_is_the_integer_formula():
    # given MAE's table, written out for a 4 x 4 grid and 8 channels: frequencies 1 and 10000^(-1/2) = 0.01
    code = sine_cosine_2d((4, 4), 8, grid=4)
    # then the token in column 3, row 1
    row, column = 1, 3
    expected = [f(p * w) for p in (column, row) for f in (math.sin, math.cos) for w in (1.0, 0.01)]
    torch.testing.assert_close(code[row * 4 + column], torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_the_first_half_follows_the_column_alone_and_the_second_the_row():
    code = sine_cosine_2d((3, 5), 16, grid=4).view(3, 5, 16)
    torch.testing.assert_close(code[:, :, :8], code[:1, :, :8].expand(3, 5, 8))
    torch.testing.assert_close(code[:, :, 8:], code[:, :1, 8:].expand(3, 5, 8))
    assert (code[0, 0, :8] - code[0, 4, :8]).abs().max() > 0.1
    assert (code[0, 0, 8:] - code[2, 0, 8:]).abs().max() > 0.1


def test_order_yx_swaps_the_halves():
    code, swapped = sine_cosine_2d((3, 5), 16, grid=4), sine_cosine_2d((3, 5), 16, grid=4, order="yx")
    torch.testing.assert_close(swapped, torch.cat([code[:, 8:], code[:, :8]], 1))


def test_another_grid_covers_the_same_range():
    # given twice as many columns: the centres of columns 2k and 2k + 1 lie a quarter before and after the coarse centre k
    fine = sine_cosine_2d((1, 8), 4, grid=4)[:, 0]
    expected = torch.tensor([math.sin((x + 0.5) * 0.5 - 0.5) for x in range(8)])
    torch.testing.assert_close(fine, expected)

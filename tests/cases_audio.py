"""Rows of the table (see op_cases.py) for sound."""

from op_cases import Case, given, normal

from fastdl.audio.functional.filters import recursive_filter


def in_a_loop(t, x, a):
    """The difference equation, sample by sample."""
    found = []
    for i in range(x.shape[1]):
        before = [a[k] * found[i - 1 - k] for k in range(min(i, a.shape[0]))]
        found.append(x[:, i] - sum(before) if before else x[:, i])
    return t.stack(found, 1)


CASES: list[Case] = [
    Case(
        "filters.recursive_filter",
        lambda t, x, a: recursive_filter(x, a),
        [normal(2, 7), given([-0.9, 0.4])],
        torch=in_a_loop,
        more=[[normal(1, 150), given([0.5, -0.3, 0.2])], [normal(3, 1), given([0.7])]],
        exact=64 * 8,  # a sample holds what is left of all before
        name="recursive_filter",
    )
]

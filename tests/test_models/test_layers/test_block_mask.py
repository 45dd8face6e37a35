import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcpm.models.layers.block_mask import block_mask


def test_by_hand():
    valid = torch.tensor([[True, True, False], [False, False, False]])
    # 1: may not see. Rows and columns: two queries, three prompts.
    first = [
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1],
        [1, 1, 0, 0, 1],
        [1, 1, 0, 0, 1],
        [1, 1, 1, 1, 0],
    ]
    second = [
        [0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1],
        [1, 1, 0, 1, 1],
        [1, 1, 1, 0, 1],
        [1, 1, 1, 1, 0],
    ]
    assert torch.equal(
        block_mask(valid, num_queries=2), torch.tensor([first, second]).bool()
    )


@given(
    st.integers(1, 3).flatmap(
        lambda k: st.lists(
            st.lists(st.booleans(), min_size=k, max_size=k),
            min_size=1,
            max_size=3,
        )
    ),
    st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_rule_by_rule(valid, num_queries):
    mask = block_mask(torch.tensor(valid), num_queries)
    total = num_queries + len(valid[0])
    assert mask.shape == (len(valid), total, total)
    assert mask.dtype == torch.bool
    for image, known in enumerate(valid):
        for row in range(total):
            for column in range(total):
                prompts = (row - num_queries, column - num_queries)
                if max(prompts) < 0:
                    sees = True
                elif min(prompts) < 0:
                    sees = False
                else:
                    sees = row == column or all(known[p] for p in prompts)
                assert mask[image, row, column] == (not sees)

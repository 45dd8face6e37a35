"""Who may see whom among learned queries and prompts."""

import torch
from torch import Tensor


def block_mask(valid: Tensor, num_queries: int) -> Tensor:
    """Keep queries and prompts apart in self-attention.

    Prompts are made from the ground truth: one query that sees one of them
    would leave a gap between training and test. Prompts see valid prompts of
    their image only, so that one pass equals two.

    Args:
        valid (Tensor): ``[B, K]`` bool, False for padding and for prompts
            that mean nothing yet.
        num_queries (int): Learned queries N, in front.

    Returns:
        Tensor: ``[B, N + K, N + K]`` bool, True where a row may not see a
        column. What is not valid sees itself, as no row may see nothing.
    """
    batch, prompts = valid.shape
    total = num_queries + prompts
    mask = valid.new_ones((batch, total, total))
    mask[:, :num_queries, :num_queries] = False
    seen = valid[:, None, :] & valid[:, :, None]
    itself = torch.eye(prompts, dtype=torch.bool, device=valid.device)
    mask[:, num_queries:, num_queries:] = ~(seen | itself)
    return mask

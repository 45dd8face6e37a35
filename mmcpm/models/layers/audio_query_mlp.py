"""Audio queries without attention: a projection of the sound, added to all."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from .mlp import mlp


@MODELS.register_module()
class AudioQueryMLP(BaseModule):
    """Adds the projected embedding of the sound to the queries (COMBO).

    Args:
        in_channels (int): Channels of the embedding, D.
        hidden_channels (int): Channels of the two hidden layers.
        out_channels (int): Channels of the queries, C.
        init_cfg (dict, optional): Initialization, see mmengine's BaseModule.
    """

    def __init__(
        self,
        *,
        in_channels: int = 128,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.mlp = mlp(
            in_channels, hidden_channels, hidden_channels, out_channels
        )

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        audio: Tensor,
        source: Tensor | None = None,
    ) -> Tensor:
        """Add the sounds.

        Args:
            query (Tensor): ``[B, N, C]``.
            query_pos (Tensor): Not used.
            audio (Tensor): Embeddings of the sounds, ``[B, D]``.
            source (Tensor, optional): Frame of the batch whose sound a query
                gets, ``[B, N]`` int64. None: every query its own frame's.

        Returns:
            Tensor: Audio queries, ``[B, N, C]``.
        """
        audio = self.mlp(audio)
        return query + (audio[:, None] if source is None else audio[source])

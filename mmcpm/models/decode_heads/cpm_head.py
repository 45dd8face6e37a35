"""The Class-conditional Prompting Machine (CPM, Section 3.2).

Learnt, class-agnostic queries and prompts sampled from the mixtures of the
classes that sound go through one decoder. Only the learnt queries are used
for testing.
"""

import torch
import torch.nn as nn
from mmdet.utils import reduce_mean
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..audio.mixing import MixedAudio
from .av_mask2former_head import AVMask2FormerHead, PixelTokens

LABEL_SOURCES = ('full', 'crop')
ACP_EMBEDDINGS = ('final', 'td_a')


def block_mask(valid: Tensor, num_queries: int, num_heads: int) -> Tensor:
    """Keep queries and prompts apart in self-attention.

    Prompts are made from the ground truth: one query that sees one of them
    would leave a gap between training and test. Prompts see valid prompts of
    their image only, so that one pass equals two.

    Args:
        valid (Tensor): ``[B, K]`` bool, False for padding.
        num_queries (int): Learnt queries N, in front.
        num_heads (int): Heads of the attention.

    Returns:
        Tensor: ``[B * heads, N + K, N + K]`` bool, True where a row may not
        see a column. Padding sees itself, as no row may see nothing.
    """
    batch, prompts = valid.shape
    total = num_queries + prompts
    mask = valid.new_ones((batch, total, total))
    mask[:, :num_queries, :num_queries] = False
    seen = valid[:, None, :] & valid[:, :, None]
    itself = torch.eye(prompts, dtype=torch.bool, device=valid.device)
    mask[:, num_queries:, num_queries:] = ~(seen | itself)
    return mask.repeat_interleave(num_heads, 0)


@MODELS.register_module()
class CPMHead(AVMask2FormerHead):
    """Audio-first Mask2Former with class-conditional prompts.

    Args:
        classifier (dict, optional): A GMMClassifier (CCDM); None keeps the
            linear classifier. ``num_classes`` and ``embed_dims`` are set
            here.
        prompts (dict, optional): ClassPrompts; needed by the three losses.
        loss_vcp (dict, optional): FixedAssignmentMaskLoss, equation (6).
        loss_acp (dict, optional): RatioMaskLoss, equation (5).
        loss_pcl (dict, optional): PromptContrastiveLoss, equations (7) to
            (9).
        cpm_weight (float): lambda, the factor of the three.
        label_source (str): Classes to prompt: those of the 'full' frame, or
            those left in the 'crop'.
        acp_embedding (str): Which embedding of a prompt predicts its audio
            mask: the 'final' one, or the one after the audio decoder
            ('td_a').
        prompt_background (bool): Whether background is prompted too.
        **kwargs: Of AVMask2FormerHead.
    """

    def __init__(
        self,
        *,
        classifier: dict | None = None,
        prompts: dict | None = None,
        loss_vcp: dict | None = None,
        loss_acp: dict | None = None,
        loss_pcl: dict | None = None,
        cpm_weight: float = 0.5,
        label_source: str = 'full',
        acp_embedding: str = 'final',
        prompt_background: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_combination(classifier, prompts, loss_vcp, loss_acp, loss_pcl)
        if label_source not in LABEL_SOURCES:
            raise ValueError(
                f'label_source must be one of {LABEL_SOURCES}, but got '
                f'{label_source!r}.'
            )
        if acp_embedding not in ACP_EMBEDDINGS:
            raise ValueError(
                f'acp_embedding must be one of {ACP_EMBEDDINGS}, but got '
                f'{acp_embedding!r}.'
            )
        self.cpm_weight = cpm_weight
        self.label_source = label_source
        self.acp_embedding = acp_embedding
        self.prompt_background = prompt_background
        dims = self.decoder_embed_dims
        if classifier is not None:
            # Replaces the linear layer, whose parameters would be unused.
            self.cls_embed = MODELS.build(
                ConfigDict(
                    classifier, num_classes=self.num_classes, embed_dims=dims
                )
            )
        self.has_mixtures = classifier is not None
        self.prompts = None
        if prompts is not None:
            self.prompts = MODELS.build(
                ConfigDict(
                    prompts, num_classes=self.num_classes, embed_dims=dims
                )
            )
        self.loss_vcp = MODELS.build(loss_vcp) if loss_vcp else None
        self.loss_acp = MODELS.build(loss_acp) if loss_acp else None
        self.loss_pcl = None
        if loss_pcl:
            self.loss_pcl = MODELS.build(ConfigDict(loss_pcl, embed_dims=dims))
        if self.loss_acp is not None:
            self.audio_post_norm = nn.LayerNorm(dims)
            self.audio_mask_embed = nn.Sequential(
                nn.Linear(dims, dims),
                nn.ReLU(inplace=True),
                nn.Linear(dims, dims),
                nn.ReLU(inplace=True),
                nn.Linear(dims, dims),
            )
            self.audio_mask_feature = nn.Conv2d(dims, dims, 1)

    @property
    def hears_mixtures(self) -> bool:
        """Whether prompts hear mixtures: only if they are to undo them."""
        return self.loss_acp is not None

    def init_weights(self) -> None:
        """Initialise; prompts enter the decoder as they are sampled."""
        super().init_weights()
        if self.prompts is not None:
            self.prompts.init_weights()

    def sounding_classes(
        self, batch_data_samples: list[SegDataSample]
    ) -> list[list[int]]:
        """Classes to prompt, per image.

        Args:
            batch_data_samples (list[SegDataSample]): With ``audio_labels``
                in the meta information (of the whole frame) or
                ``gt_sem_seg`` (of the crop).

        Returns:
            list[list[int]]: Sorted class ids.

        Raises:
            KeyError: If ``audio_labels`` are needed and missing.
            ValueError: If a class id is out of range.
        """
        classes = []
        for data_sample in batch_data_samples:
            if self.label_source == 'full':
                if 'audio_labels' not in data_sample.metainfo:
                    raise KeyError(
                        "label_source='full' needs audio_labels, which "
                        'RecordSoundingClasses adds to the pipeline before '
                        'the crop.'
                    )
                found = list(data_sample.metainfo['audio_labels'])
            else:
                found = data_sample.gt_sem_seg.data.unique().tolist()
            kept = [k for k in found if k not in (0, self.ignore_index)]
            self.check_classes(kept, data_sample.metainfo)
            classes.append(([0] if self.prompt_background else []) + kept)
        return classes

    def loss(
        self,
        image_levels: list[Tensor],
        audio_levels: list[Tensor],
        batch_data_samples: list[SegDataSample],
        mixed_audio: MixedAudio | None = None,
    ) -> dict[str, Tensor]:
        """Losses of queries and prompts; then the mixtures learn.

        Args:
            image_levels (list[Tensor]): Fine to coarse, strides 4 to 32.
            audio_levels (list[Tensor]): Coarse to fine, ``[B, C, t, f]``.
            batch_data_samples (list[SegDataSample]): With ``gt_sem_seg``
                and ``audio_labels``.
            mixed_audio (MixedAudio, optional): Needed if
                :attr:`hears_mixtures`.

        Returns:
            dict[str, Tensor]: Mask2Former's losses of the learnt queries,
            and ``loss_vcp_*``, ``loss_acp``, ``loss_pcl`` of the prompts.
        """
        instances, metas = self._seg_data_to_instance_data(batch_data_samples)
        pixels = self.encode_pixels(image_levels)
        query, query_pos = self.learnt_queries(len(image_levels[0]))
        if self.prompts is None:
            heard = self.audio_query_decoder(query, query_pos, audio_levels)
            predictions = self.decode(heard, query_pos, pixels)
            losses = self._query_losses(predictions, instances, metas)
            return losses

        labels = self.prompts.pad(
            self.sounding_classes(batch_data_samples), query.device
        )
        prompt, prompt_pos = self.prompts(labels, self.cls_embed)
        mask = block_mask(labels >= 0, self.num_queries, self.num_heads)
        query = torch.cat([query, prompt.to(query)], 1)
        query_pos = torch.cat([query_pos, prompt_pos.to(query)], 1)
        prompt_levels = mixed_audio.levels if mixed_audio else audio_levels
        heard = self.audio_query_decoder.forward_with_prompts(
            query,
            query_pos,
            audio_levels,
            prompt_levels,
            self.num_queries,
            mask,
        )
        predictions = self.decode(heard, query_pos, pixels, mask)
        # Before the mixtures change: the prompts were drawn from these.
        valid = self.prompts.ready(labels, self.cls_embed)
        losses = self._query_losses(predictions, instances, metas)
        losses.update(
            self._prompt_losses(
                predictions,
                heard,
                labels,
                valid,
                pixels,
                batch_data_samples,
                prompt_levels,
                mixed_audio,
            )
        )
        return losses

    def _query_losses(self, predictions, instances, metas) -> dict:
        """Mask2Former's losses of the learnt queries; feed the mixtures."""
        count = self.num_queries
        losses = self.loss_by_feat(
            [scores[:, :count] for scores in predictions.class_scores],
            [logits[:, :count] for logits in predictions.mask_logits],
            instances,
            metas,
        )
        self.count_matches()
        if self.has_mixtures:
            with torch.no_grad():
                states = self.transformer_decoder.post_norm(
                    predictions.query[:, :count]
                )
            self.cls_embed.enqueue(
                states.flatten(0, 1), self.matched_labels.flatten()
            )
            losses.update(
                (name, value.float())
                for name, value in self.cls_embed.health().items()
            )
        return losses

    def _prompt_losses(
        self,
        predictions,
        heard: Tensor,
        labels: Tensor,
        valid: Tensor,
        pixels: PixelTokens,
        batch_data_samples: list[SegDataSample],
        prompt_levels: list[Tensor],
        mixed_audio: MixedAudio | None,
    ) -> dict[str, Tensor]:
        """Equations (5), (6) and (9), weighted by lambda."""
        first = self.num_queries
        label_maps = torch.cat(
            [sample.gt_sem_seg.data for sample in batch_data_samples]
        )  # [B, H, W]
        masks = label_maps[:, None] == labels[..., None, None]
        losses = {}
        scores = [s[:, first:] for s in predictions.class_scores]
        if self.loss_vcp is not None:
            # A class that the crop has lost has nothing to be found.
            seen = valid & masks.flatten(2).any(-1)
            terms = self.loss_vcp(
                scores,
                [logits[:, first:] for logits in predictions.mask_logits],
                labels,
                masks,
                seen,
            )
            losses.update(
                {f'loss_vcp_{name}': value for name, value in terms.items()}
            )
        if self.loss_acp is not None:
            embedding = predictions.query
            if self.acp_embedding == 'td_a':
                embedding = heard
            dense = prompt_levels[-1]
            logits = torch.einsum(
                'bkc,bctf->bktf',
                self.audio_mask_embed(
                    self.audio_post_norm(embedding[:, first:])
                ),
                self.audio_mask_feature(dense),
            )
            recovered = valid & mixed_audio.mixed[:, None]
            losses['loss_acp'] = self.loss_acp(
                logits, mixed_audio.ratio, recovered
            )
            if self.loss_pcl is not None:
                losses['loss_pcl'] = self.loss_pcl(
                    dense,
                    logits,
                    labels.masked_fill(~valid, -1),
                    pixels.mask_feature,
                    label_maps,
                    self.num_classes,
                )
        losses = {k: self.cpm_weight * v for k, v in losses.items()}
        losses.update(self._health(scores[-1], labels, valid))
        return losses

    @torch.no_grad()
    def _health(
        self, scores: Tensor, labels: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """How the prompts fare; names without "loss" are only logged."""
        right = (scores.argmax(-1) == labels) & valid
        known = labels >= 0
        totals = reduce_mean(
            torch.stack([right.sum(), valid.sum(), known.sum()]).float()
        )
        return {
            'prompt_accuracy': totals[0] / totals[1].clamp(min=1e-6),
            'prompts_ready': totals[1] / totals[2].clamp(min=1e-6),
        }


def check_combination(
    classifier: dict | None,
    prompts: dict | None,
    loss_vcp: dict | None,
    loss_acp: dict | None,
    loss_pcl: dict | None,
) -> None:
    """Refuse combinations of components that mean nothing.

    Raises:
        ValueError: Says which, and why.
    """
    losses = {
        'loss_vcp': loss_vcp,
        'loss_acp': loss_acp,
        'loss_pcl': loss_pcl,
    }
    used = [name for name, loss in losses.items() if loss]
    if loss_pcl and not loss_acp:
        raise ValueError(
            'loss_pcl pools the audio under the masks that loss_acp teaches; '
            'without loss_acp they are random. Set loss_acp too.'
        )
    if used and prompts is None:
        raise ValueError(
            f'{", ".join(used)} need prompts, but prompts is None. Set '
            "prompts=dict(type='ClassPrompts')."
        )
    if prompts is not None and not used:
        raise ValueError(
            'prompts without loss_vcp or loss_acp teach nothing. Set a loss, '
            'or prompts=None.'
        )
    source = (prompts or {}).get('source', 'gmm')
    if prompts is not None and source != 'table' and classifier is None:
        raise ValueError(
            f'prompts.source={source!r} draws from the mixtures of a '
            'GMMClassifier, but classifier is None (linear). Set '
            "prompts.source='table' or a classifier."
        )

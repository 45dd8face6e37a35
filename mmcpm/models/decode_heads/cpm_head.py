"""The Class-conditional Prompting Machine (CPM, Section 3.2).

Learnt, class-agnostic queries and prompts sampled from the mixtures of the
classes that sound go through one decoder. Only the learnt queries are used
for testing.
"""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..layers.block_mask import block_mask
from ..layers.class_prompts import pad_classes
from ..losses.acp_loss import unexplained_ratio
from ..losses.matched_masks import prompted_rows
from ..utils.mixing import MixedAudio
from ..utils.prompt_stats import prompt_health, prompt_overlap
from ..utils.transfers import few_numbers
from .av_mask2former_head import AVMask2FormerHead
from .combinations import check_combination
from .set_prediction import (
    FrameTargets,
    PixelTokens,
    QueryPredictions,
    SetTerms,
)
from .sounding_classes import LABEL_SOURCES, SoundingClasses

ACP_EMBEDDINGS = ('final', 'td_a')


class PromptedPredictions(NamedTuple):
    """What N learnt queries and K prompts per image say."""

    # Classes that are prompted, per image.
    classes: list[list[int]]
    # The same, [B, K], -1 for padding.
    labels: Tensor
    # Whether the prompts mean something yet, [B, K] bool.
    valid: Tensor
    # Queries, then prompts, after the audio decoder, [B, N + K, C].
    heard: Tensor
    predictions: QueryPredictions


@MODELS.register_module()
class CPMHead(SoundingClasses, AVMask2FormerHead):
    """Audio-first Mask2Former with class-conditional prompts.

    Args:
        classifier (dict, optional): A GMMClassifier (CCDM); None keeps the
            linear classifier. ``num_classes`` and ``embed_dims`` are set
            here.
        mixtures_classify (bool): Whether the mixtures classify the queries
            (the paper). Otherwise a linear layer does, and the mixtures only
            follow the queries and give the prompts.
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
        **kwargs: Of AVMask2FormerHead.
    """

    def __init__(
        self,
        *,
        classifier: dict | None = None,
        mixtures_classify: bool = True,
        prompts: dict | None = None,
        loss_vcp: dict | None = None,
        loss_acp: dict | None = None,
        loss_pcl: dict | None = None,
        cpm_weight: float = 0.5,
        label_source: str = 'full',
        acp_embedding: str = 'final',
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        check_combination(
            classifier,
            prompts,
            loss_vcp,
            loss_acp,
            loss_pcl,
            mixtures_classify,
        )
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
        dims = self.decoder_embed_dims
        self.mixtures_classify = mixtures_classify
        self.has_mixtures = classifier is not None
        if classifier is not None:
            mixtures = MODELS.build(
                ConfigDict(
                    classifier, num_classes=self.num_classes, embed_dims=dims
                )
            )
            if mixtures_classify:
                # Replaces the linear layer: its parameters would be unused.
                self.cls_embed = mixtures
            else:
                # Nor does anything teach the parameters of these.
                self.prompt_mixtures = mixtures.requires_grad_(False)
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
    def mixtures(self) -> nn.Module | None:
        """GMMClassifier: The mixtures that prompts are drawn from."""
        if not self.has_mixtures:
            return None
        return (
            self.cls_embed if self.mixtures_classify else self.prompt_mixtures
        )

    @property
    def hears_mixtures(self) -> bool:
        """Whether prompts hear mixtures: only if they are to undo them."""
        return self.loss_acp is not None

    def init_weights(self) -> None:
        """Initialise; prompts enter the decoder as they are sampled."""
        super().init_weights()
        if self.prompts is not None:
            self.prompts.init_weights()

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
        targets = self.read_targets(batch_data_samples)
        pixels = self.encode_pixels(image_levels)
        if self.prompts is None:
            query, query_pos = self.learnt_queries(len(image_levels[0]))
            heard = self.audio_query_decoder(query, query_pos, audio_levels)
            predictions = self.decode(heard, query_pos, pixels)
            matched = self.match(predictions, pixels, targets)
            terms, classes = self.set_terms(
                predictions, pixels, targets, [matched]
            )
            return self._learn(predictions, terms, classes, len(matched))

        prompted = self.decode_prompts(
            pixels,
            audio_levels,
            self.sounding_classes(batch_data_samples, targets.classes),
            mixed_audio,
        )
        classes_prompted, labels, valid, _, predictions = prompted
        matched = self.match(predictions, pixels, targets)
        parts = [matched]
        if self.loss_vcp is not None:
            num_layers = len(predictions.state)
            parts.append(
                prompted_rows(
                    classes_prompted,
                    targets.classes,
                    num_layers,
                    self.num_queries,
                )
            )
        terms, classes = self.set_terms(predictions, pixels, targets, parts)
        losses = self._learn(predictions, terms, classes, len(matched))
        first = self.num_queries
        prompt_losses = {}
        if self.loss_vcp is not None:
            # A class that the crop has lost has nothing to be found: its
            # prompt has no row.
            seen = valid & (classes[0, :, first:] == labels)
            named = self.loss_vcp(
                *(part[:, :, first:] for part in terms),
                seen,
                self.weight_of_class[labels.clamp(min=0)],
            )
            prompt_losses.update(
                {f'loss_vcp_{name}': value for name, value in named.items()}
            )
        if self.loss_acp is not None:
            prompt_losses.update(
                self._audio_losses(
                    self.audio_masks(prompted, mixed_audio),
                    labels,
                    valid,
                    self.accounted_for(batch_data_samples, classes_prompted),
                    pixels,
                    targets,
                    mixed_audio,
                )
            )
        losses.update(
            {
                k: self.cpm_weight * v if k.startswith('loss') else v
                for k, v in prompt_losses.items()
            }
        )
        scores = predictions.class_scores[-1, :, first:]
        masks = predictions.mask_embedding[-1, :, first:]
        overlap, seen = prompt_overlap(
            masks, pixels.mask_feature, targets.label_maps, labels
        )
        losses.update(prompt_health(scores, overlap, seen, labels, valid))
        return losses

    def decode_prompts(
        self,
        pixels: PixelTokens,
        audio_levels: list[Tensor],
        classes: list[list[int]],
        mixed_audio: MixedAudio | None = None,
    ) -> PromptedPredictions:
        """Let learnt queries and prompts hear and look, in one pass.

        Args:
            pixels (PixelTokens): Of the images.
            audio_levels (list[Tensor]): What the learnt queries hear, coarse
                to fine, ``[B, C, t, f]``.
            classes (list[list[int]]): Classes to prompt, per image.
            mixed_audio (MixedAudio, optional): What the prompts hear; the
                same as the learnt queries if None.

        Returns:
            PromptedPredictions: Of N learnt queries, followed by K prompts.
        """
        prompted = self.prompts.choose(classes)
        query, query_pos = self.learnt_queries(len(classes))
        labels = pad_classes(prompted, query.device)
        # Before the mixtures change: the prompts are drawn from these.
        valid = self.prompts.ready(labels, self.mixtures)
        prompt, prompt_pos = self.prompts(labels, self.mixtures)
        mask = block_mask(valid, self.num_queries)
        query = torch.cat([query, prompt.to(query)], 1)
        query_pos = torch.cat([query_pos, prompt_pos.to(query)], 1)
        heard = self.audio_query_decoder.forward_with_prompts(
            query,
            query_pos,
            audio_levels,
            mixed_audio.levels if mixed_audio else audio_levels,
            self.num_queries,
            mask,
        )
        predictions = self.decode(heard, query_pos, pixels, mask)
        return PromptedPredictions(prompted, labels, valid, heard, predictions)

    def audio_masks(
        self, prompted: PromptedPredictions, mixed_audio: MixedAudio
    ) -> Tensor:
        """Predict the masks of the prompts over the spectrogram.

        Args:
            prompted (PromptedPredictions): Of :meth:`decode_prompts`.
            mixed_audio (MixedAudio): What the prompts heard.

        Returns:
            Tensor: Logits ``[B, K, t, f]``.
        """
        embedding = prompted.predictions.query
        if self.acp_embedding == 'td_a':
            embedding = prompted.heard
        return torch.einsum(
            'bkc,bctf->bktf',
            self.audio_mask_embed(
                self.audio_post_norm(embedding[:, self.num_queries :])
            ),
            self.audio_mask_feature(mixed_audio.levels[-1]),
        )

    def _learn(
        self,
        predictions: QueryPredictions,
        terms: SetTerms,
        classes: Tensor,
        num_matched: int,
    ) -> dict[str, Tensor]:
        """Mask2Former's losses of the learnt queries; feed the mixtures."""
        losses = self.query_losses(terms, classes, num_matched)
        self.count_matches()
        if self.has_mixtures:
            states = predictions.state[-1, :, : self.num_queries]
            self.mixtures.enqueue(
                states.detach().flatten(0, 1), self.matched_labels.flatten()
            )
            losses.update(
                (name, value.float())
                for name, value in self.mixtures.health().items()
            )
        return losses

    def _audio_losses(
        self,
        logits: Tensor,
        labels: Tensor,
        valid: Tensor,
        accounted: list[bool],
        pixels: PixelTokens,
        targets: FrameTargets,
        mixed_audio: MixedAudio,
    ) -> dict[str, Tensor]:
        """Equations (5) and (9), of the prompts' masks over the spectrogram.

        Args:
            logits (Tensor): Of :meth:`audio_masks`, ``[B, K, t, f]``.
            labels (Tensor): Their classes, ``[B, K]``.
            valid (Tensor): ``[B, K]`` bool.
            accounted (list[bool]): Whether all that sounds in an image is
                prompted.
            pixels (PixelTokens): Of the images.
            targets (FrameTargets): Label maps.
            mixed_audio (MixedAudio): What the prompts heard.

        Returns:
            dict[str, Tensor]: ``loss_acp``, what it leaves open
            (``acp_unexplained``, only logged) and, if there is one,
            ``loss_pcl``.
        """
        # Prompts of some of the classes cannot account for the sound of all.
        missing = ((labels >= 0) & ~valid).any(1)
        whole = few_numbers(accounted, missing.device).bool() & ~missing
        recovered = valid & (mixed_audio.mixed & whole)[:, None]
        losses = {
            'loss_acp': self.loss_acp(logits, mixed_audio.ratio, recovered),
            'acp_unexplained': unexplained_ratio(
                logits, mixed_audio.ratio, recovered
            ),
        }
        if self.loss_pcl is not None:
            losses['loss_pcl'] = self.loss_pcl(
                mixed_audio.levels[-1],
                logits,
                # Other masks are not taught: they select anything.
                labels.masked_fill(~recovered, -1),
                pixels.mask_feature,
                targets.label_maps,
                sorted({k for classes in targets.classes for k in classes}),
            )
        return losses

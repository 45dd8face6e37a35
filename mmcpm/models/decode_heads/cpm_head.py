"""The Class-conditional Prompting Machine (CPM, Section 3.2).

Class-agnostic queries and prompts sampled from the mixtures of the classes
that sound go through one decoder. Only the queries are used for testing.
"""

import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.audio_labels import get_audio_labels
from ..layers.block_mask import block_mask
from ..layers.class_prompts import classes_to_prompt, pad_classes
from ..layers.mlp import mlp
from ..losses.acp_loss import recoverable_prompts, unexplained_ratio
from ..losses.matched_masks import prompted_indices
from ..losses.set_criterion import FrameTargets, SetTerms
from ..utils.labeled_frames import select_labeled, weigh_losses
from ..utils.mixing import MixedAudio
from ..utils.prompt_stats import prompt_log_vars
from ..utils.query_predictions import (
    PixelDecoderOutput,
    PromptedPredictions,
    QueryPredictions,
)
from .av_mask2former_head import AVMask2FormerHead
from .cpm_head_cfg import NO_MIXTURE, check_parts, check_switches


@MODELS.register_module()
class CPMHead(AVMask2FormerHead):
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
        **kwargs: Arguments of AVMask2FormerHead.
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
        losses = (loss_vcp, loss_acp, loss_pcl)
        check_parts(classifier, prompts, *losses, mixtures_classify)
        check_switches(label_source, acp_embedding)
        self.cpm_weight = cpm_weight
        self.label_source = label_source
        self.acp_embedding = acp_embedding
        dims = self.decoder_embed_dims
        sizes = dict(num_classes=self.num_classes, embed_dims=dims)
        self.mixtures_classify = mixtures_classify
        self.has_mixtures = classifier is not None
        if classifier is not None:
            mixtures = MODELS.build(ConfigDict(classifier, **sizes))
            if mixtures_classify:
                # Replaces the linear layer: its parameters would be unused.
                self.cls_embed = mixtures
            else:
                # No loss teaches the parameters of these mixtures.
                self.prompt_mixtures = mixtures.requires_grad_(False)
        self.prompts = None
        if prompts is not None:
            self.prompts = MODELS.build(ConfigDict(prompts, **sizes))
        self.loss_vcp = MODELS.build(loss_vcp) if loss_vcp else None
        self.loss_acp = MODELS.build(loss_acp) if loss_acp else None
        self.loss_pcl = None
        if loss_pcl:
            self.loss_pcl = MODELS.build(ConfigDict(loss_pcl, embed_dims=dims))
        if self.loss_acp is not None:
            self.audio_post_norm = nn.LayerNorm(dims)
            self.audio_mask_embed = mlp(dims, dims, dims, dims)
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
    def use_mixtures(self) -> bool:
        """Whether prompts attend to mixtures of sounds: only for ACP."""
        return self.loss_acp is not None

    def init_weights(self) -> None:
        """Initialize; prompts enter the decoder as they are sampled."""
        super().init_weights()
        if self.prompts is not None:
            self.prompts.init_weights()

    def loss(
        self,
        image_features: list[Tensor],
        audio: AudioFeatures,
        data_samples: list[SegDataSample],
    ) -> dict[str, Tensor]:
        """Losses of queries and prompts; the mixtures are updated as well.

        Args:
            image_features (list[Tensor]): Fine to coarse, strides 4 to 32.
            audio (AudioFeatures): Levels coarse to fine, ``[B, C, t, f]``;
                MixedAudioFeatures if :attr:`use_mixtures`.
            data_samples (list[SegDataSample]): With ``gt_sem_seg`` and
                ``audio_labels``.

        Returns:
            dict[str, Tensor]: Mask2Former's losses of the class-agnostic
            queries, and ``loss_vcp_*``, ``loss_acp``, ``loss_pcl`` of the
            prompts.
        """
        if self.use_mixtures and getattr(audio, 'mixture', None) is None:
            raise ValueError(NO_MIXTURE)
        if self.prompts is None:
            return super().loss(image_features, audio, data_samples)
        image_features, audio, data_samples, factor = select_labeled(
            image_features, audio, data_samples
        )
        targets = self.criterion.read_targets(data_samples)
        first = self.num_queries

        # 1. queries and prompts attend to audio and image, in one pass
        pixels = self.forward_pixel_decoder(image_features)
        chosen = classes_to_prompt(
            self.label_source,
            data_samples,
            targets.classes,
            self.num_classes,
            self.ignore_index,
        )
        prompted = self.decode_prompts(pixels, audio, chosen)
        classes, labels, valid, _, predictions = prompted

        # 2. match the class-agnostic queries; a prompt has its own class
        feature = pixels.mask_feature
        matched = self.criterion.match(predictions, feature, targets)
        parts = [matched]
        if self.loss_vcp is not None:
            num_layers = len(predictions.state)
            parts.append(
                prompted_indices(classes, targets.classes, num_layers, first)
            )
        terms, target_classes = self.criterion(
            predictions, feature, targets, parts
        )

        # 3. Mask2Former's losses of the queries, which feed the mixtures
        losses = self._query_losses(
            predictions, terms, target_classes, len(matched)
        )

        # 4. VCP: a prompt segments its class
        prompt_losses = {}
        if self.loss_vcp is not None:
            # A class that the crop has lost has no target.
            seen = valid & (target_classes[0, :, first:] == labels)
            vcp = self.loss_vcp(
                *(part[:, :, first:] for part in terms),
                seen,
                self.criterion.class_weight[labels.clamp(min=0)],
            )
            prompt_losses.update({f'loss_vcp_{k}': v for k, v in vcp.items()})

        # 5. ACP and PCL: a prompt recovers its sound from the mixture
        if self.loss_acp is not None:
            prompt_losses.update(
                self._audio_losses(
                    prompted, audio.mixture, data_samples, pixels, targets
                )
            )
        losses.update(weigh_losses(prompt_losses, self.cpm_weight))

        # 6. statistics of the prompts, for the log
        losses.update(prompt_log_vars(prompted, feature, targets.label_maps))
        return weigh_losses(losses, factor)

    def decode_prompts(
        self,
        pixels: PixelDecoderOutput,
        audio: AudioFeatures,
        classes: list[list[int]],
    ) -> PromptedPredictions:
        """Decode class-agnostic queries and prompts in one pass.

        Args:
            pixels (PixelDecoderOutput): Features of the images.
            audio (AudioFeatures): The queries attend to its levels, the
                prompts to those of its mixture if it has one.
            classes (list[list[int]]): Classes to prompt, per image.

        Returns:
            PromptedPredictions: Predictions of N queries, then K prompts.
        """
        prompted = self.prompts.choose(classes)
        query, query_pos = self.init_queries(len(classes))
        labels = pad_classes(prompted, query.device)
        # Before the mixtures change: the prompts are drawn from these.
        valid = self.prompts.ready(labels, self.mixtures)
        prompt, prompt_pos = self.prompts(labels, self.mixtures)
        mask = block_mask(valid, self.num_queries)
        query = torch.cat([query, prompt.to(query)], 1)
        query_pos = torch.cat([query_pos, prompt_pos.to(query)], 1)
        mixture = getattr(audio, 'mixture', None)
        audio_query = self.audio_query_decoder.forward_with_prompts(
            query,
            query_pos,
            audio.levels,
            audio.levels if mixture is None else mixture.levels,
            self.num_queries,
            mask,
        )
        predictions = self.decode(audio_query, query_pos, pixels, mask)
        return PromptedPredictions(
            prompted, labels, valid, audio_query, predictions
        )

    def audio_masks(
        self, prompted: PromptedPredictions, mixture: MixedAudio
    ) -> Tensor:
        """Predict the masks of the prompts over the spectrogram.

        Args:
            prompted (PromptedPredictions): Queries and prompts.
            mixture (MixedAudio): What the prompts attended to.

        Returns:
            Tensor: Logits ``[B, K, t, f]``.
        """
        embedding = prompted.predictions.query
        if self.acp_embedding == 'td_a':
            embedding = prompted.audio_query
        return torch.einsum(
            'bkc,bctf->bktf',
            self.audio_mask_embed(
                self.audio_post_norm(embedding[:, self.num_queries :])
            ),
            self.audio_mask_feature(mixture.levels[-1]),
        )

    def _query_losses(
        self,
        predictions: QueryPredictions,
        terms: SetTerms,
        labels: Tensor,
        num_matched: int,
    ) -> dict[str, Tensor]:
        """As the base class; the matched queries feed the mixtures."""
        losses = super()._query_losses(predictions, terms, labels, num_matched)
        if self.has_mixtures:
            count = self.num_queries
            self.mixtures.enqueue(
                predictions.state[-1, :, :count].detach().flatten(0, 1),
                labels[-1, :, :count].flatten(),
            )
            losses.update(
                (name, value.float())
                for name, value in self.mixtures.log_vars().items()
            )
        return losses

    def _audio_losses(
        self,
        prompted: PromptedPredictions,
        mixture: MixedAudio,
        data_samples: list[SegDataSample],
        pixels: PixelDecoderOutput,
        targets: FrameTargets,
    ) -> dict[str, Tensor]:
        """ACP and PCL of the prompts that can recover their sound.

        Args:
            prompted (PromptedPredictions): Queries and prompts.
            mixture (MixedAudio): What the prompts attended to.
            data_samples (list[SegDataSample]): Tell the sounding classes.
            pixels (PixelDecoderOutput): Features of the images.
            targets (FrameTargets): Label maps.

        Returns:
            dict[str, Tensor]: ``loss_acp``, what it leaves open
            (``acp_unexplained``, only logged) and, if there is one,
            ``loss_pcl``.
        """
        nothing = [()] * len(data_samples)
        sounding = get_audio_labels(
            data_samples, self.num_classes, self.ignore_index, nothing
        )
        recovered = recoverable_prompts(prompted, sounding, mixture.mixed)
        logits = self.audio_masks(prompted, mixture)
        masks = (logits, mixture.ratio, recovered)
        losses = {
            'loss_acp': self.loss_acp(*masks),
            'acp_unexplained': unexplained_ratio(*masks),
        }
        if self.loss_pcl is not None:
            losses['loss_pcl'] = self.loss_pcl(
                mixture.levels[-1],
                logits,
                # Other masks are not taught: they select anything.
                prompted.labels.masked_fill(~recovered, -1),
                pixels.mask_feature,
                targets.label_maps,
                sorted({k for classes in targets.classes for k in classes}),
            )
        return losses

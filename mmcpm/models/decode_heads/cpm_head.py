"""The Class-conditional Prompting Machine (CPM, Section 3.2).

Class-agnostic queries and prompts sampled from the mixtures of the classes
that sound go through one decoder. Only the queries are used for testing.
"""

from typing import NamedTuple

import torch
import torch.nn as nn
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ...structures.audio_features import AudioFeatures
from ...structures.audio_labels import foreground_classes, get_audio_labels
from ..layers.block_mask import block_mask
from ..layers.class_prompts import pad_classes
from ..losses.acp_loss import unexplained_ratio
from ..losses.matched_masks import prompted_indices
from ..losses.set_criterion import FrameTargets, QueryPredictions, SetTerms
from ..utils.mixing import MixedAudio
from ..utils.prompt_stats import prompt_overlap, prompt_stats
from ..utils.transfers import few_numbers
from .av_mask2former_head import AVMask2FormerHead, PixelDecoderOutput

LABEL_SOURCES = ('full', 'crop')
ACP_EMBEDDINGS = ('final', 'td_a')
NO_MIXTURE = (
    'loss_acp of CPMHead needs the features of mixtures of sounds, which the '
    "segmentor makes: set model.type='CPMEncoderDecoder' (configs written "
    "before it existed have 'AVEncoderDecoder'), or loss_acp=None and "
    'loss_pcl=None.'
)


class PromptedPredictions(NamedTuple):
    """Predictions of N class-agnostic queries and K prompts per image."""

    # Classes that are prompted, per image.
    classes: list[list[int]]
    # The same, [B, K], -1 for padding.
    labels: Tensor
    # Whether the mixtures know the class of a prompt yet, [B, K] bool.
    valid: Tensor
    # Queries, then prompts, after the audio decoder, [B, N + K, C].
    audio_query: Tensor
    predictions: QueryPredictions


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
        self._check_cfg(
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
                # No loss teaches the parameters of these mixtures.
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

    @staticmethod
    def _check_cfg(
        classifier: dict | None,
        prompts: dict | None,
        loss_vcp: dict | None,
        loss_acp: dict | None,
        loss_pcl: dict | None,
        mixtures_classify: bool = True,
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
                'loss_pcl pools the audio under the masks that loss_acp '
                'teaches; without loss_acp they are random. Set loss_acp too.'
            )
        if used and prompts is None:
            raise ValueError(
                f'{", ".join(used)} need prompts, but prompts is None. Set '
                "prompts=dict(type='ClassPrompts')."
            )
        if prompts is not None and not used:
            raise ValueError(
                'prompts without loss_vcp or loss_acp teach nothing. Set a '
                'loss, or prompts=None.'
            )
        source = (prompts or {}).get('source', 'gmm')
        if prompts is not None and source != 'table' and classifier is None:
            raise ValueError(
                f'prompts.source={source!r} draws from the mixtures of a '
                'GMMClassifier, but classifier is None (linear). Set '
                "prompts.source='table' or a classifier."
            )
        drawn = prompts is not None and source != 'table'
        if not mixtures_classify and not drawn:
            raise ValueError(
                'mixtures_classify=False leaves the mixtures to the prompts, '
                "but no prompt is drawn from them. Set prompts.source='gmm', "
                'or leave mixtures_classify out.'
            )

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
        targets = self.criterion.read_targets(data_samples)
        first = self.num_queries

        # 1. queries and prompts attend to audio and image, in one pass
        pixels = self.forward_pixel_decoder(image_features)
        prompted = self.decode_prompts(
            pixels, audio, self.prompt_classes(data_samples, targets)
        )
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
            recovered = self._recoverable(
                prompted, audio.mixture, data_samples
            )
            logits = self.audio_masks(prompted, audio.mixture)
            prompt_losses.update(
                self._audio_losses(
                    logits, labels, recovered, pixels, targets, audio.mixture
                )
            )
        losses.update(
            {
                k: self.cpm_weight * v if k.startswith('loss') else v
                for k, v in prompt_losses.items()
            }
        )

        # 6. statistics of the prompts, for the log
        scores = predictions.class_scores[-1, :, first:]
        masks = predictions.mask_embedding[-1, :, first:]
        overlap, seen = prompt_overlap(
            masks, feature, targets.label_maps, labels
        )
        losses.update(prompt_stats(scores, overlap, seen, labels, valid))
        return losses

    def prompt_classes(
        self, data_samples: list[SegDataSample], targets: FrameTargets
    ) -> list[list[int]]:
        """Classes to prompt, see ``label_source``.

        Args:
            data_samples (list[SegDataSample]): With ``audio_labels`` (of the
                whole frame).
            targets (FrameTargets): Classes of the crops.

        Returns:
            list[list[int]]: Class ids, per image.
        """
        if self.label_source == 'full':
            return get_audio_labels(
                data_samples, self.num_classes, self.ignore_index
            )
        return [
            list(foreground_classes(found, self.ignore_index))
            for found in targets.classes
        ]

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
            PromptedPredictions: Of N queries, followed by K prompts.
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

    def _recoverable(
        self,
        prompted: PromptedPredictions,
        mixture: MixedAudio,
        data_samples: list[SegDataSample],
    ) -> Tensor:
        """Tell which prompts can recover a sound, ``[B, K]`` bool.

        Prompts of some of the classes cannot account for the sound of all.
        """
        nothing = [()] * len(data_samples)
        sounding = get_audio_labels(
            data_samples, self.num_classes, self.ignore_index, nothing
        )
        accounted = [
            set(own) <= set(classes)
            for own, classes in zip(sounding, prompted.classes, strict=True)
        ]
        labels, valid = prompted.labels, prompted.valid
        missing = ((labels >= 0) & ~valid).any(1)
        whole = few_numbers(accounted, missing.device).bool() & ~missing
        return valid & (mixture.mixed & whole)[:, None]

    def _audio_losses(
        self,
        logits: Tensor,
        labels: Tensor,
        recovered: Tensor,
        pixels: PixelDecoderOutput,
        targets: FrameTargets,
        mixture: MixedAudio,
    ) -> dict[str, Tensor]:
        """Equations (5) and (9), of the prompts' masks over the spectrogram.

        Args:
            logits (Tensor): Masks of the prompts, ``[B, K, t, f]``.
            labels (Tensor): Their classes, ``[B, K]``.
            recovered (Tensor): Prompts that can recover a sound, ``[B, K]``
                bool.
            pixels (PixelDecoderOutput): Features of the images.
            targets (FrameTargets): Label maps.
            mixture (MixedAudio): What the prompts attended to.

        Returns:
            dict[str, Tensor]: ``loss_acp``, what it leaves open
            (``acp_unexplained``, only logged) and, if there is one,
            ``loss_pcl``.
        """
        losses = {
            'loss_acp': self.loss_acp(logits, mixture.ratio, recovered),
            'acp_unexplained': unexplained_ratio(
                logits, mixture.ratio, recovered
            ),
        }
        if self.loss_pcl is not None:
            losses['loss_pcl'] = self.loss_pcl(
                mixture.levels[-1],
                logits,
                # Other masks are not taught: they select anything.
                labels.masked_fill(~recovered, -1),
                pixels.mask_feature,
                targets.label_maps,
                sorted({k for classes in targets.classes for k in classes}),
            )
        return losses

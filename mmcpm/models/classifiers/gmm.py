"""CCDM: a classifier that is a generative model of the query embeddings.

CPM, Section 3.2.1, equations (1) to (4), with the mechanics of GMMSeg (Liang
et al., NeurIPS 2022) adapted to the few embeddings per image that queries
give: one ring of recent members per class instead of one per component.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.full_precision import full_precision
from .gaussian_mixture import (
    component_log_prob,
    em_responsibilities,
    member_log_prob,
    shrink_variance,
    sinkhorn_responsibilities,
)
from .memory_bank import enqueue
from .mixture_state import MixtureState
from .mixture_update import diagnose, fit, least_likely_members

ESTEPS = ('em', 'sinkhorn')
REDUCTIONS = ('lse', 'max')
NORMALIZATIONS = ('layernorm', 'scale', 'none')
SAMPLINGS = ('spread', 'variance')
# Finite logits keep the Hungarian algorithm and the softmax finite.
LOGIT_LIMIT = 1e4


def at_least_float32(tensor: Tensor) -> Tensor:
    """Bring half precision to float32, where densities can be computed."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


@MODELS.register_module()
class GMMClassifier(MixtureState):
    """Classifies embeddings by mixtures of Gaussians, one per class.

    All state lives in buffers: no optimizer, weight decay or gradient
    reduction touches it, it is the same on all ranks, and checkpoints hold
    it. Gradients reach the embeddings and the normalizations, never the
    mixtures.

    Args:
        num_classes (int): Classes with the background; "no object" is added
            as class ``num_classes``.
        embed_dims (int): Size D of the embeddings.
        num_components (int): Gaussians per class, M.
        bank_size (int): Recent members kept per class.
        em_interval (int): Training steps between two updates.
        estep (str): 'em' (equation (3)) or 'sinkhorn' (equal shares).
        momentum (float): Share of the old mean, at first a random unit
            vector, that an update keeps.
        variance_floor (float): Added to every variance.
        shrinkage (float): Members that the variance shared by all classes
            counts for.
        reduction (str): 'lse' (equation (2)) or 'max' over components
            without their weights (GMMSeg).
        logit_norm (str): 'layernorm' over classes times one learned gain,
            'scale' (one learned temperature) or 'none'.
        sampling (str): Noise of the samples: the 'spread' of the members
            about their own center, or the 'variance' of the densities, which
            holds their distance to the mean in use as well. Means at rest
            make no difference; while they are far from their members, the
            second drowns the class.
        max_no_object (int): Unmatched queries that enter the bank per step.
        min_members (int): Members that make a class ready for prompting;
            at least ``2 * num_components`` are asked for in any case.
        max_enqueue (int): Room for embeddings per step and rank.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        num_components: int = 3,
        bank_size: int = 128,
        em_interval: int = 5,
        estep: str = 'em',
        momentum: float = 0.999,
        variance_floor: float = 1e-4,
        shrinkage: float = 8.0,
        reduction: str = 'lse',
        logit_norm: str = 'layernorm',
        sampling: str = 'spread',
        max_no_object: int = 32,
        min_members: int = 8,
        max_enqueue: int = 256,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            embed_dims=embed_dims,
            num_components=num_components,
            bank_size=bank_size,
            min_members=min_members,
        )
        for name, value, accepted in (
            ('estep', estep, ESTEPS),
            ('reduction', reduction, REDUCTIONS),
            ('logit_norm', logit_norm, NORMALIZATIONS),
            ('sampling', sampling, SAMPLINGS),
        ):
            if value not in accepted:
                raise ValueError(
                    f'{name} must be one of {accepted}, but got {value!r}.'
                )
        if em_interval < 1:
            raise ValueError(
                f'em_interval must be positive, but got {em_interval}.'
            )
        if not (0 <= momentum <= 1 and variance_floor > 0 and shrinkage >= 0):
            raise ValueError(
                'momentum must lie in 0..1, variance_floor must be positive '
                'and shrinkage must not be negative, but got '
                f'{momentum}, {variance_floor} and {shrinkage}.'
            )
        self.em_interval = em_interval
        self.estep = estep
        self.momentum = momentum
        self.variance_floor = variance_floor
        self.shrinkage = shrinkage
        self.reduction = reduction
        self.logit_norm = logit_norm
        self.sampling = sampling
        self.max_no_object = max_no_object
        self.max_enqueue = max_enqueue

        self.feature_norm = nn.LayerNorm(embed_dims)
        if logit_norm != 'none':
            # A layer norm over few classes bounds the softmax below 1
            # (sqrt(C) = 1.4 for two classes): the gain makes up for it.
            start = max(1.0, 8.0 / math.sqrt(num_classes))
            if logit_norm == 'scale':
                start = 1.0 / embed_dims
            self.logit_gain = nn.Parameter(torch.tensor(start))

    def embed(self, features: Tensor) -> Tensor:
        """Bring decoder states to the space of the mixtures.

        Args:
            features (Tensor): ``[..., D]``.

        Returns:
            Tensor: ``[..., D]`` float32 of unit length.
        """
        with torch.autocast(features.device.type, enabled=False):
            normed = F.layer_norm(
                at_least_float32(features),
                (self.embed_dims,),
                self.feature_norm.weight,
                self.feature_norm.bias,
            )
            return F.normalize(normed, dim=-1)

    def effective_variance(self) -> Tensor:
        """Variances as they are used, shrunk to the shared one.

        Returns:
            Tensor: ``[C + 1, M, D]``.
        """
        return shrink_variance(
            self.variance, self.count, self.num_updates > 0, self.shrinkage
        )

    def log_prob(self, embedding: Tensor) -> Tensor:
        """Log density of embeddings under every class, equation (2).

        Args:
            embedding (Tensor): Embeddings of unit length, ``[..., D]``.

        Returns:
            Tensor: ``[..., C + 1]`` float32.
        """
        with full_precision(embedding.device.type):
            components = component_log_prob(
                at_least_float32(embedding),
                self.mean,
                self.effective_variance(),
            )
            if self.reduction == 'max':
                return components.amax(-1)
            return (components + self.log_weight).logsumexp(-1)

    def forward(self, features: Tensor) -> Tensor:
        """Class logits: equation (1) before its softmax, normalized.

        Args:
            features (Tensor): Decoder states, ``[..., D]``.

        Returns:
            Tensor: ``[..., C + 1]`` float32.
        """
        with torch.autocast(features.device.type, enabled=False):
            logits = self.log_prob(self.embed(features))
            if self.logit_norm == 'layernorm':
                logits = F.layer_norm(logits, logits.shape[-1:])
            if self.logit_norm != 'none':
                logits = logits * self.logit_gain
            return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)

    @torch.no_grad()
    def enqueue(self, features: Tensor, labels: Tensor) -> None:
        """Let the embeddings of one step enter the bank; update when due.

        In evaluation mode nothing happens.

        Args:
            features (Tensor): Decoder states of the last prediction,
                ``[S, D]``.
            labels (Tensor): Their matched classes, ``[S]`` int64, ``C`` for
                no object and -1 for samples to leave out.
        """
        if not self.training:
            return
        embedding = self.embed(features)
        labels = self._select(embedding, labels)
        embedding, labels = self._pack(embedding, labels)
        if get_world_size() > 1:
            if self._steps == 0:
                # They may have been drawn with another seed on each rank.
                self.synchronize()
            packed = torch.cat([embedding, labels[:, None].to(embedding)], 1)
            packed = torch.cat(all_gather(packed))
            embedding, labels = packed[:, :-1], packed[:, -1].long()
        added = enqueue(self.bank, self.pointer, self.count, embedding, labels)
        self.dirty.logical_or_(added > 0)
        if self.count_step() % self.em_interval == 0:
            self.update()

    def _select(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Leave out what the cap or a broken value forbids."""
        labels = labels.masked_fill(~embedding.isfinite().all(-1), -1)
        labels = labels.masked_fill(labels > self.num_classes, -1)
        # Unmatched queries at a uniform stride over all of them.
        empty = labels == self.num_classes
        order = empty.long().cumsum(0) - 1
        total = empty.sum().clamp(min=1)
        kept = order * self.max_no_object // total
        before = (order - 1) * self.max_no_object // total
        first = (kept != before) | (order == 0)
        keep = first & (self.max_no_object > 0)
        return labels.masked_fill(empty & ~keep, -1)

    def _pack(
        self, embedding: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move what counts to the front of a tensor of fixed size.

        A fixed size lets ranks with different contents exchange it.
        """
        room = self.max_enqueue
        order = (labels < 0).to(torch.int8).argsort(stable=True)[:room]
        embedding = embedding.nan_to_num()[order]
        labels = labels[order]
        missing = room - len(order)
        return (
            F.pad(embedding, (0, 0, 0, missing)),
            F.pad(labels, (0, missing), value=-1),
        )

    @torch.no_grad()
    def update(self) -> None:
        """One step of EM for every class with new members, equation (4)."""
        # Half precision would turn log densities into noise.
        with full_precision(self.bank.device.type):
            self._update()

    def _update(self) -> None:
        slots = torch.arange(self.bank.shape[1], device=self.bank.device)
        valid = slots < self.count[:, None]  # [C + 1, S]
        log_prob = member_log_prob(
            self.bank, self.mean, self.effective_variance()
        )
        if self.estep == 'em':
            shares = em_responsibilities(log_prob, self.log_weight, valid)
        else:
            shares = sinkhorn_responsibilities(log_prob, valid)
        dead = shares.sum(1) < 1e-3 * self.count.clamp(min=1)[:, None]
        seed = self.mean
        if self.estep == 'em':
            joint = log_prob + self.log_weight[:, None]
            seed = least_likely_members(
                self.bank, joint.logsumexp(-1), valid, dead
            )
        fitted = fit(
            self.bank,
            shares,
            valid,
            dead,
            mean=self.mean,
            variance=self.variance,
            seed=seed,
            momentum=self.momentum,
            variance_floor=self.variance_floor,
        )
        due = self.dirty & (self.count > 0)
        chosen = due[:, None, None]
        self.mean.copy_(torch.where(chosen, fitted.mean, self.mean))
        self.variance.copy_(
            torch.where(chosen, fitted.variance, self.variance)
        )
        self.spread.copy_(torch.where(chosen, fitted.spread, self.spread))
        self.log_weight.copy_(
            torch.where(due[:, None], fitted.weight.log(), self.log_weight)
        )
        self.num_updates.add_(due.long())
        self.dead.copy_((dead & due[:, None]).sum())
        self.dirty.zero_()
        self.diagnosis.copy_(
            diagnose(
                self.mean, self.log_prob(self.bank), valid, self.num_updates
            )
        )
        # Equal by construction; this removes drift of the last bit.
        self.synchronize()

    @torch.no_grad()
    def sample(self, labels: Tensor, noise: bool = True) -> Tensor:
        """Draw one embedding per class id.

        Args:
            labels (Tensor): Class ids, any shape, int64; negative for none,
                where class 0 is drawn.
            noise (bool): False gives the means of the drawn components.

        Returns:
            Tensor: ``[*labels.shape, D]`` float32 of unit length.
        """
        index = labels.clamp(min=0)
        log_weight = self.log_weight[index]  # [..., M]
        gumbel = -torch.empty_like(log_weight).exponential_().log()
        component = (log_weight + gumbel).argmax(-1)
        drawn = self.mean[index, component]
        if noise:
            variance = self.spread
            if self.sampling == 'variance':
                variance = self.effective_variance()
            deviation = variance[index, component].sqrt()
            drawn = drawn + deviation * torch.randn_like(drawn)
        return F.normalize(drawn, dim=-1)

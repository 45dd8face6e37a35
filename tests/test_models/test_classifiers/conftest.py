"""Small classifiers and clusters on the unit sphere to fill them with."""

import pytest
import torch
import torch.nn.functional as F

from mmcpm.models.classifiers import GMMClassifier

DIMS = 32


def directions(number, dims=DIMS, seed=0):
    """Random unit vectors of mean 0, which the layer norm leaves alone."""
    # Not the seeds of the prototypes, which would be these vectors.
    generator = torch.Generator().manual_seed(1000 + seed)
    vectors = torch.randn(number, dims, generator=generator)
    return F.normalize(vectors - vectors.mean(1, keepdim=True), dim=1)


def around(center, number, rho, seed=1):
    """Members whose mean cosine to each other is about rho, unit length."""
    noise = directions(number, len(center), seed)
    return F.normalize(rho**0.5 * center + (1 - rho) ** 0.5 * noise, dim=1)


@pytest.fixture
def unit_vectors():
    return directions


@pytest.fixture
def cluster():
    return around


@pytest.fixture
def make_classifier():
    """Build a classifier that follows its bank at once, unless told not."""

    def make(num_classes=4, embed_dims=DIMS, seed=0, **kwargs):
        torch.manual_seed(seed)
        arguments = dict(momentum=0.0, em_interval=1, bank_size=64)
        return GMMClassifier(
            num_classes=num_classes,
            embed_dims=embed_dims,
            **{**arguments, **kwargs},
        )

    return make


@pytest.fixture
def fill(make_classifier):
    """Build a classifier and show it a cluster per class of ``classes``."""

    def filled(classes=(0, 1, 2, 3, 4), members=20, rho=0.8, **kwargs):
        classifier = make_classifier(**kwargs)
        dims = classifier.embed_dims
        centers = directions(classifier.num_classes + 1, dims)
        for step in range(3 if classes else 0):
            batches = [
                around(centers[k], members, rho, 10 * k + step)
                for k in classes
            ]
            labels = torch.tensor(classes).repeat_interleave(members)
            classifier.enqueue(torch.cat(batches), labels)
        return classifier, centers

    return filled

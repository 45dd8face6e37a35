import zlib

import numpy as np
import pytest
import torch
import torch.nn as nn

from mmcpm.models.backbones import VGGish

# Of the public weight file vggish-10086976.pth.
PUBLIC_SHAPES = {
    0: (64, 1, 3, 3),
    3: (128, 64, 3, 3),
    6: (256, 128, 3, 3),
    8: (256, 256, 3, 3),
    11: (512, 256, 3, 3),
    13: (512, 512, 3, 3),
}


def public_state_dict():
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index, shape in PUBLIC_SHAPES.items():
        state[f'features.{index}.weight'] = (
            torch.randn(shape, generator=generator) * 0.05
        )
        state[f'features.{index}.bias'] = (
            torch.randn(shape[0], generator=generator) * 0.05
        )
    # Stand-ins for the fully connected part, which is not used.
    state['embeddings.0.weight'] = torch.zeros(4, 4)
    return state


def test_shapes_and_parameters():
    model = VGGish()
    outputs = model(torch.zeros(2, 1, 96, 256))
    assert [tuple(o.shape) for o in outputs] == [
        (2, 128, 24, 64),
        (2, 256, 12, 32),
        (2, 512, 6, 16),
    ]
    assert model.out_channels == (128, 256, 512)
    assert sum(p.numel() for p in model.parameters()) == 4_499_712


def test_all_taps_and_stereo():
    model = VGGish(in_channels=2, base_channels=8, out_indices=(3, 0, 1, 2))
    outputs = model(torch.zeros(1, 2, 300, 256))
    assert [tuple(o.shape[1:]) for o in outputs] == [
        (8, 150, 128),
        (16, 75, 64),
        (32, 37, 32),
        (64, 18, 16),
    ]


def test_public_weights_give_the_public_function(tmp_path):
    path = tmp_path / 'vggish.pth'
    state = public_state_dict()
    torch.save(state, path)
    model = VGGish(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    model.init_weights()

    x = inputs = torch.randn(1, 1, 96, 64)
    for block in ((0,), (3,), (6, 8), (11, 13)):
        for index in block:
            x = nn.functional.conv2d(
                x,
                state[f'features.{index}.weight'],
                state[f'features.{index}.bias'],
                padding=1,
            ).relu()
        x = nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(model(inputs)[-1], x)


@pytest.mark.parametrize(
    'change,message',
    [
        (lambda s: s.pop('features.8.bias'), 'features.8.bias'),
        (
            lambda s: s.update({'features.0.weight': torch.zeros(8, 1, 3, 3)}),
            'size mismatch',
        ),
        (lambda s: s.clear(), 'Missing key'),
    ],
)
def test_foreign_weights_are_refused(tmp_path, change, message):
    path = tmp_path / 'foreign.pth'
    state = public_state_dict()
    change(state)
    torch.save(state, path)
    model = VGGish(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(RuntimeError, match='torchvggish') as raised:
        model.init_weights()
    assert message in str(raised.value) and str(path) in str(raised.value)


def test_normalization_keeps_public_names():
    model = VGGish(base_channels=4, norm_cfg=dict(type='BN'))
    assert {f'features.{i}.weight' for i in PUBLIC_SHAPES} <= set(
        model.state_dict()
    )
    assert len(model.norms) == 6
    outputs = model(torch.randn(4, 1, 96, 64))
    assert all(o.isfinite().all() for o in outputs)


def test_frozen_keeps_weights_and_statistics():
    model = VGGish(base_channels=4, norm_cfg=dict(type='BN'), frozen=True)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model(torch.randn(2, 1, 32, 32))
    assert not any(p.requires_grad for p in model.parameters())
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)


@pytest.mark.parametrize('out_indices', [(), (4,), (-1,)])
def test_bad_taps(out_indices):
    with pytest.raises(ValueError, match='out_indices'):
        VGGish(out_indices=out_indices)


def rule_weight(key, shape):
    """The value that the golden numbers were computed with."""
    seed = zlib.crc32(key.encode()) & 0x7FFFFFFF
    values = np.random.RandomState(seed).standard_normal(shape)
    values = values.astype(np.float32)
    if key.endswith('weight'):
        return torch.from_numpy(values / np.sqrt(np.prod(shape[1:]))).float()
    return torch.from_numpy(0.1 * values)


def spectrograms(batch=5, seed=201):
    values = np.random.RandomState(seed).standard_normal((batch, 1, 96, 64))
    return torch.from_numpy(values.astype(np.float32))


# torchvggish on the first of these spectrograms, with the weights above:
# every eighth value of the embedding.
GOLDEN_EMBEDDING = [
    0,
    0.22690697,
    0.10115544,
    0,
    0.3310363,
    0.080808543,
    0,
    0.048453044,
    0,
    0,
    0,
    0,
    0.15421009,
    0.25792542,
    0,
    0,
]


@pytest.fixture(scope='module')
def embedder():
    """VGGish with its fully connected part, of the public sizes."""
    with torch.device('meta'):
        model = VGGish(out_indices=(), with_embedding=True)
    state = {
        key: rule_weight(key, tuple(value.shape))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def test_golden_embedding(embedder):
    with torch.no_grad():
        levels, embedding = embedder(spectrograms()[:1])
    assert levels == ()
    torch.testing.assert_close(
        embedding[0, ::8], torch.tensor(GOLDEN_EMBEDDING), rtol=0, atol=1e-5
    )
    assert embedding.shape == (1, 128) and (embedding >= 0).all()
    assert sum(p.numel() for p in embedder.parameters()) == 72_141_184


def test_embedding_is_flattened_by_time_frequency_and_channel():
    model = VGGish(
        base_channels=2,
        with_embedding=True,
        fc_channels=3,
        embedding_channels=5,
    )
    model.init_weights()
    for linear in model.embeddings[::2]:
        nn.init.uniform_(linear.weight)
    levels, embedding = model(spectrograms(batch=2))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (4, 24, 16),
        (8, 12, 8),
        (16, 6, 4),
    ]
    last, first = levels[-1], model.embeddings[0]
    hidden = torch.zeros(2, 3)
    for time in range(6):
        for band in range(4):
            for channel in range(16):
                column = (time * 4 + band) * 16 + channel
                hidden += (
                    last[:, channel, time, band, None]
                    * first.weight[:, column]
                )
    hidden = (hidden + first.bias).relu()
    hidden = model.embeddings[2](hidden).relu()
    torch.testing.assert_close(embedding, model.embeddings[4](hidden).relu())


def test_embedding_of_another_size_is_refused():
    model = VGGish(
        base_channels=2, out_indices=(), with_embedding=True, fc_channels=2
    )
    with pytest.raises(ValueError, match='96 frames x 64 mel.*96 x 256'):
        model(torch.zeros(1, 1, 96, 256))


def narrow(**kwargs):
    return VGGish(
        base_channels=2, with_embedding=True, fc_channels=4, **kwargs
    )


def test_public_embedding_layers_are_read(tmp_path):
    stored = narrow()
    path = str(tmp_path / 'vggish.pth')
    torch.save(stored.state_dict(), path)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    model = narrow(init_cfg=init_cfg, frozen=True)
    model.init_weights()
    x = spectrograms(batch=1)
    torch.testing.assert_close(model(x)[1], stored(x)[1], rtol=0, atol=0)
    assert not any(p.requires_grad for p in model.parameters())

    # CAVP: another size of the embedding, the rest from the file.
    model = narrow(init_cfg=init_cfg, embedding_channels=304)
    model.init_weights()
    for key, value in stored.state_dict().items():
        if not key.startswith('embeddings.4'):
            assert torch.equal(model.state_dict()[key], value)
    assert model(x)[1].shape == (1, 304)

    state = stored.state_dict()
    del state['embeddings.2.weight']
    torch.save(state, path)
    with pytest.raises(RuntimeError, match='embeddings.2.weight'):
        narrow(init_cfg=init_cfg).init_weights()

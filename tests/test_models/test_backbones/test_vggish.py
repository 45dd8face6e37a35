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

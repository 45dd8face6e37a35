"""convert.py with a narrow model: what is written, and what is refused."""

import pytest
import torch
from mmengine.config import Config

from mmcpm.apis import init_model
from mmcpm.model_converters.conversion import build_model, convert
from mmcpm.utils.checkpoints import read_checkpoint
from mmcpm.utils.errors import UsageError

TINY = """
_base_ = ['{root}/configs/tpavi/tpavi_r18_scenes.py']
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    audio_backbone=dict(
        base_channels=4, fc_channels=8, norm_cfg=None, frozen=True),
    decode_head=dict(
        in_channels=[8, 16, 32, 64], channels=16, num_classes={classes}),
)
"""
PARTS = {
    'contexts': 'conv{}.conv2d_list.',
    'attentions': 'tpavi_b{}.',
    'fusions': 'path{}.',
}
NAMES = {
    'convs.': '',
    'align.': 'align_channel.',
    'norm.': 'norm_layer.',
    'mu.': 'W_z.0.',
    'bn.': 'W_z.1.',
    'refine_input.': 'resConfUnit1.',
    'refine_sum.': 'resConfUnit2.',
}


@pytest.fixture(scope='module')
def root(request):
    return request.config.rootpath


@pytest.fixture(scope='module')
def config(tmp_path_factory, root):
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    path.write_text(TINY.format(root=root, classes=9))
    return str(path)


def published_name(name):
    """Key of a weight in a file of AVSBench's program."""
    if name.startswith('backbone.'):
        name = name.replace('layer3.', 'layer3_1.')
        name = name.replace('layer4.', 'layer4_1.')
        return f'resnet.{name.removeprefix("backbone.")}'
    part, _, rest = name.removeprefix('decode_head.').partition('.')
    if part == 'output':
        return f'output_conv.{rest}'
    level, _, rest = rest.partition('.')
    for own, theirs in NAMES.items():
        if rest.startswith(own):
            rest = theirs + rest.removeprefix(own)
            break
    return PARTS[part].format(int(level) + 1) + rest


@pytest.fixture(scope='module')
def model(config):
    torch.manual_seed(0)
    return build_model(Config.fromfile(config))


@pytest.fixture
def published(model):
    """Weights of TPAVI, and those of its VGGish."""
    weights, vggish = {}, {}
    for name, value in model.state_dict().items():
        if name.startswith('audio_backbone.'):
            vggish[name.removeprefix('audio_backbone.')] = value
            continue
        key = published_name(name)
        is_linear = key.startswith('tpavi') and 'align' not in key
        if is_linear and value.dim() == 2:
            value = value[..., None, None, None]
        weights[key] = value
    weights['resnet.layer3_2.0.conv1.weight'] = torch.zeros(2)
    weights['path4.resConfUnit1.conv1.bias'] = torch.zeros(2)
    return weights, vggish


@pytest.fixture
def run(published, config, tmp_path):
    """Convert weights as they are given; VGGish lies in its own file."""
    torch.save(published[1], tmp_path / 'vggish.pth')

    def run(weights, config=config, name='published.pth', out='out.pth'):
        path = tmp_path / name
        torch.save(weights, path)
        parts = {'audio_backbone': str(tmp_path / 'vggish.pth')}
        return convert(str(path), config, tmp_path / out, parts)

    return run


def test_converted_file_loads_strictly(run, published, model, config):
    done = run(published[0])
    content = torch.load(done.path, weights_only=True)
    assert content['meta']['converted_from'] == 'AVSBench (TPAVI)'
    assert len(content['meta']['dataset_meta']['classes']) == 9
    loaded = init_model(config, done.path, device='cpu')
    loaded.load_state_dict(content['state_dict'], strict=True)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert len(done.report.dropped) == 2


@pytest.mark.parametrize('kind', ['parallel', 'wrapped', 'half'])
def test_other_ways_to_save(run, published, model, kind):
    weights = published[0]
    if kind == 'parallel':
        weights = {f'module.{key}': value for key, value in weights.items()}
    elif kind == 'wrapped':
        weights = {'epoch': 3, 'model': weights}
    else:
        weights = {
            k: v.half() if v.is_floating_point() else v
            for k, v in weights.items()
        }
    done = run(weights)
    found = read_checkpoint(str(done.path))['state_dict']
    for name, value in model.state_dict().items():
        assert found[name].dtype == value.dtype
        tolerance = 1e-3 if kind == 'half' else 0
        assert torch.allclose(found[name], value, atol=tolerance)
    assert bool(done.report.converted) == (kind == 'half')


def test_safetensors_in_and_out(published, config, tmp_path):
    package = pytest.importorskip('safetensors.torch')
    files = [tmp_path / name for name in ('a.safetensors', 'b.safetensors')]
    for path, weights in zip(files, published, strict=True):
        plain = {k: v.clone().contiguous() for k, v in weights.items()}
        package.save_file(plain, path)
    parts = {'audio_backbone': str(files[1])}
    out = tmp_path / 'c.safetensors'
    convert(str(files[0]), config, out, parts)
    assert init_model(config, out, device='cpu')


def change(weights, **changes):
    """Weights with some added, or left out where the change is None."""
    weights = {**weights, **changes}
    return {k: v for k, v in weights.items() if v is not None}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'output_conv.0.bias': None}, 'missing: decode_head.output.0.bias'),
        ({'strange.weight': torch.zeros(1)}, 'not known: strange.weight'),
        (
            {'tpavi_b1.align_channel.bias': torch.zeros(16)},
            'unknown to the model: decode_head.attentions.0.align.bias',
        ),
        (
            {
                'output_conv.4.weight': torch.zeros(1, 2, 1, 1),
                'output_conv.4.bias': torch.zeros(1),
            },
            r'S4 or MS3, 1 outputs.*does not fit.*another shape.*\(9, 2, 1',
        ),
        (
            {'output_conv.0.bias': torch.full((8,), torch.nan)},
            'NaN',
        ),
    ],
)
def test_files_that_do_not_fit(run, published, changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run(change(published[0], **changes))
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'layer1.0.conv1.weight': 1}, 'a ResNet in torchvision'),
        ({'features.0.weight': 1}, 'a VGGish'),
        ({'decode_head.x': 1}, 'a checkpoint of mmcpm or mmseg'),
        ({'something': 1}, 'none of the known code bases.*AVSBench'),
        ({}, 'holds no weights'),
    ],
)
def test_other_files_are_named(run, weights, message):
    with pytest.raises(UsageError, match=message):
        run({key: torch.zeros(1) for key in weights})


def test_config_of_another_method_is_refused(run, published, root):
    other = root / 'configs/avmask2former/avmask2former_r18_scenes.py'
    with pytest.raises(
        UsageError, match='TPAVI.*AVMask2FormerHead.*tpavi_r50'
    ):
        run(published[0], str(other))


def test_vggish_is_asked_for(published, config, tmp_path):
    torch.save(published[0], tmp_path / 'a.pth')
    with pytest.raises(UsageError, match='--part audio_backbone FILE'):
        convert(str(tmp_path / 'a.pth'), config, tmp_path / 'b.pth')
    with pytest.raises(UsageError, match=r'must end with \.pth'):
        convert(str(tmp_path / 'a.pth'), config, tmp_path / 'b.bin')

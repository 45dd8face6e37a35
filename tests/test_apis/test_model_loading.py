"""A model by config, by name, with and without a checkpoint."""

import logging
from pathlib import Path

import mmseg.apis
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcpm.apis import AVSInferencer, inference_av_model, init_model
from mmcpm.apis.model_loading import (
    complete_meta,
    list_models,
    resolve_config,
)
from mmcpm.datasets import AVSBenchSemanticDataset, SoundingScenesDataset
from mmcpm.utils.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
SCENES = ROOT / 'configs/cpm/cpm_r18_scenes.py'
# As small as it gets.
SMALL = {
    'model.data_preprocessor.size': (32, 32),
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 8,
    'model.audio_backbone.base_channels': 4,
    'model.audio_neck.in_channels': [8, 16, 32],
    'model.decode_head.in_channels': [8, 16, 32, 64],
    'model.decode_head.num_queries': 4,
}
FRAME = np.full((32, 32, 3), 90, np.uint8)
SOUND = np.zeros(16000, np.float32)


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return init_model(SCENES, device='cpu', cfg_options=SMALL)


@pytest.fixture
def checkpoint(model, tmp_path):
    """The function that saves the weights of the model."""

    def save(**meta):
        path = tmp_path / 'weights.pth'
        content = {'state_dict': model.state_dict(), 'meta': meta}
        torch.save(content, path)
        return path

    return save


def test_classes_come_from_the_config(model):
    meta = SoundingScenesDataset.METAINFO
    assert model.dataset_meta['classes'] == tuple(meta['classes'])
    assert np.array_equal(model.dataset_meta['palette'], meta['palette'])
    assert not model.training


def test_classes_come_from_the_checkpoint_first(checkpoint):
    names = tuple('abcdefghi')
    palette = [(k, k, k) for k in range(9)]
    path = checkpoint(dataset_meta={'classes': names, 'palette': palette})
    model = init_model(SCENES, path, 'cpu', SMALL)
    assert model.dataset_meta == {'classes': names, 'palette': palette}
    old = checkpoint(CLASSES=names, PALETTE=palette)
    assert init_model(SCENES, old, 'cpu', SMALL).dataset_meta == (
        model.dataset_meta
    )


def test_other_number_of_classes_is_refused(checkpoint):
    path = checkpoint(dataset_meta={'classes': ['a', 'b'], 'palette': None})
    with pytest.raises(UsageError, match='names 2 classes.*num_classes=9'):
        init_model(SCENES, path, 'cpu', SMALL)


def test_classes_without_a_name_or_a_color():
    meta = complete_meta({}, 3, 'x.pth')
    assert meta['classes'] == ('background', 'class_1', 'class_2')
    # The first colors of PASCAL VOC.
    assert meta['palette'] == [(0, 0, 0), (128, 0, 0), (0, 128, 0)]


def test_number_of_classes_of_ones_own_data(tmp_path):
    # Without the folder, only the checkpoint knows how many there are.
    config = ROOT / 'configs/cpm/cpm_r18_folder.py'
    options = {**SMALL, 'model.decode_head.num_classes': 3}
    first = init_model(config, None, 'cpu', options)
    meta = {'classes': ['background', 'dog', 'cat'], 'palette': None}
    path = tmp_path / 'mine.pth'
    torch.save(
        {'state_dict': first.state_dict(), 'meta': {'dataset_meta': meta}},
        path,
    )
    model = init_model(config, path, 'cpu', SMALL)
    assert model.decode_head.num_classes == 3
    assert model.dataset_meta['classes'][1] == 'dog'


def test_weights_are_loaded(model, checkpoint):
    other = init_model(SCENES, checkpoint(), 'cpu', SMALL)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_missing_checkpoint_is_said_loudly(caplog, monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmcpm.apis.model_loading.print_log',
        lambda text, logger, level: told.append((text, level)),
    )
    init_model(SCENES, device='cpu', cfg_options=SMALL)
    assert told[-1][1] == logging.WARNING
    assert told[-1][0].startswith('NO CHECKPOINT: the weights of the model')
    with pytest.raises(UsageError, match='checkpoint not found: .*no.pth'):
        init_model(SCENES, 'no.pth', 'cpu', SMALL)
    with pytest.raises(UsageError, match='no checkpoint of cpm_r50_avss is'):
        AVSInferencer('cpm_r50_avss')


def test_checkpoint_of_another_model_is_refused(checkpoint):
    options = {**SMALL, 'model.decode_head.num_queries': 5}
    with pytest.raises(UsageError, match='does not fit the model'):
        init_model(SCENES, checkpoint(), 'cpu', options)


def test_names_lead_to_configs():
    models = list_models()
    assert models['cpm_r50_avss'][0].samefile(
        ROOT / 'configs/cpm/cpm_r50_avss.py'
    )
    assert 'avmask2former_r18_scenes' in AVSInferencer.list_models()
    cfg, weights = resolve_config('cpm_r18_scenes')
    assert cfg.model.decode_head.num_classes == 9 and weights is None


def test_names_of_an_installed_package(monkeypatch, tmp_path):
    folder = tmp_path / 'mmcpm/.mim/configs/x'
    folder.mkdir(parents=True)
    (folder / 'metafile.yml').write_text(
        'Models:\n- Name: x_1\n  Config: configs/x/x_1.py\n'
        '  Weights: https://host/x.pth\n'
    )
    (folder / 'x_1.py').write_text('model = dict()\n')
    monkeypatch.setattr('mmcpm.__path__', [str(tmp_path / 'mmcpm')])
    path, weights = list_models()['x_1']
    assert path == folder / 'x_1.py' and weights == 'https://host/x.pth'


def test_unknown_name_gets_a_hint():
    with pytest.raises(UsageError) as caught:
        resolve_config('cpm_r50_avs')
    assert 'neither a config file nor the name of a model' in str(caught.value)
    assert 'Did you mean cpm_r50_avss' in str(caught.value)


def test_config_object_is_not_changed():
    cfg = Config.fromfile(SCENES)
    before = cfg.pretty_text
    init_model(cfg, device='cpu', cfg_options=SMALL)
    assert cfg.pretty_text == before


def test_model_without_sound_is_refused():
    with pytest.raises(UsageError, match='EncoderDecoder, which takes no so'):
        init_model(
            SCENES,
            device='cpu',
            cfg_options={
                'model': dict(
                    _delete_=True,
                    type='mmseg.EncoderDecoder',
                    backbone=dict(type='mmseg.ResNet', depth=18),
                    decode_head=dict(
                        type='mmseg.FCNHead',
                        in_channels=512,
                        channels=8,
                        num_classes=9,
                    ),
                )
            },
        )


@pytest.mark.parametrize('as_file', [False, True])
def test_function_of_mmseg_says_what_to_call(model, tmp_path, as_file):
    import cv2

    frame = FRAME
    if as_file:
        frame = str(tmp_path / 'a.png')
        cv2.imwrite(frame, FRAME)
    model.cfg = Config.fromfile(SCENES)
    with pytest.raises(ValueError) as caught:
        mmseg.apis.inference_model(model, frame)
    assert 'mmcpm.apis.inference_av_model(model, frame, sound)' in str(
        caught.value
    )


def test_function_gives_one_sample_or_a_list(model):
    model.cfg = Config.fromfile(SCENES)
    one = inference_av_model(model, FRAME, SOUND)
    assert one.pred_sem_seg.data.shape == (1, 32, 32)
    assert one.seg_logits.data.shape == (9, 32, 32)
    several = inference_av_model(model, [FRAME, FRAME], SOUND)
    assert len(several) == 2
    torch.testing.assert_close(several[0].seg_logits.data, one.seg_logits.data)
    with pytest.raises(UsageError, match='one number of seconds'):
        inference_av_model(model, [FRAME], SOUND, times=[0, 1])


def test_predictions_are_those_of_a_dataset(model, avss_root):
    # The dataset, its loader and its files against arrays of the same.
    import cv2
    import soundfile
    from mmengine.dataset import pseudo_collate

    steps = Config.fromfile(SCENES).test_dataloader.dataset.pipeline
    dataset = AVSBenchSemanticDataset(
        data_root=str(avss_root), split='test', pipeline=steps, test_mode=True
    )
    packed = dataset[3]
    info = dataset.get_data_info(3)
    with torch.no_grad():
        (expected,) = model.test_step(pseudo_collate([packed]))
    samples, rate = soundfile.read(info['audio_path'], always_2d=True)
    model.cfg = Config.fromfile(SCENES)
    found = inference_av_model(
        model,
        cv2.imread(info['img_path']),
        samples.T,
        times=info['frame_index'],
        sample_rate=rate,
    )
    torch.testing.assert_close(
        found.seg_logits.data, expected.seg_logits.data, rtol=0, atol=1e-6
    )


def test_masks_of_queries(model, checkpoint):
    # Of a trained model some queries are no object; here the classes are
    # set by hand: query 0 is class 5, query 2 class 7, the others nothing.
    cfg = Config.fromfile(SCENES)
    cfg.merge_from_dict(SMALL)
    inferencer = AVSInferencer(cfg, checkpoint(), 'cpu', show_progress=False)
    head = inferencer.model.decode_head
    decode = head.decode

    def by_hand(*args, **kwargs):
        predictions = decode(*args, **kwargs)
        scores = torch.full_like(predictions.class_scores, -50.0)
        for query, kind in enumerate((5, 9, 7, 9)):
            scores[..., query, kind] = 50.0
        return predictions._replace(class_scores=scores)

    head.decode = by_hand
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    result = inferencer(dict(frame=frame, sound=SOUND), return_queries=True)
    queries = result['predictions']['queries']
    assert sorted((q.query, q.class_id) for q in queries) == [(0, 5), (2, 7)]
    assert all(q.score == pytest.approx(1) for q in queries)
    masks = {q.class_id: np.float32(q.mask) for q in queries}
    assert masks[5].shape == (40, 60)
    # The semantic scores of these classes are the masks of their queries.
    sample = inferencer(
        dict(frame=frame, sound=SOUND), return_datasamples=True
    )['predictions']
    assert 'query_masks' not in sample
    for kind in (5, 7):
        expected = sample.seg_logits.data[kind].numpy()
        np.testing.assert_allclose(masks[kind], expected, atol=2e-3)

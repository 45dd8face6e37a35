"""Sounds that are damaged, of other kinds, or not what the model takes."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

CLIP = '__GOGlHL23s_4000_9000'
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 80000)
PIPELINE = 'train_dataloader.dataset.pipeline'


def wav(samples, rate=16000, subtype='FLOAT'):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype=subtype, format='WAV')
    return file.getvalue()


def with_sample(value):
    samples = NOISE.copy()
    samples[7] = value
    return wav(samples)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'the file is empty (0 bytes)'),
        (b'RIFF', '4 bytes arrived and could not be decoded'),
        (wav(NOISE)[:20000], 'the file is truncated'),
        (wav(NOISE[:0]), 'it holds no samples'),
        (
            with_sample(np.nan),
            '1 of the 16000 samples read are NaN or infinite',
        ),
        (
            with_sample(np.inf),
            '1 of the 16000 samples read are NaN or infinite',
        ),
        (wav(NOISE * 32768), 'largest sample is 1.64e+04, where full scale'),
        (wav(NOISE, rate=100), 'its header tells a sample rate of 100 Hz'),
    ],
    ids=[
        'empty',
        'no header',
        'half',
        'no samples',
        'NaN',
        'infinite',
        'not scaled',
        'rate',
    ],
)
def test_sound(tools, content, message):
    sound = tools.data_root / 'v1s' / CLIP / 'audio.wav'
    sound.write_bytes(content)
    found = tools.refuses('train')
    assert f'Sample {CLIP}/0: Cannot read the audio file {sound}' in found
    assert message in found and '0x' not in found
    assert 'Expected a whole wav, flac, ogg or mp3 file; restore' in found
    assert 'train_dataloader.dataset.skip_unreadable=N' in found


def test_sound_met_by_a_worker(tools):
    sound = tools.data_root / 'v1s/zVfLHhs9uv8_3000_8000/audio.wav'
    sound.write_bytes(with_sample(np.nan))
    message = tools.refuses(
        'train', 'train_dataloader.num_workers=2', begun=True
    )
    assert f'{sound}: 1 of the 16000 samples read are NaN' in message
    assert 'DataLoader' not in message


def test_any_rate_and_number_of_channels_is_read(tools):
    forms = [
        (8000, 1),
        (11025, 2),
        (22050, 3),
        (44099, 4),
        (48000, 5),
        (96000, 6),
    ]
    train = [
        '__GOGlHL23s_4000_9000',
        'zVfLHhs9uv8_3000_8000',
        'm1_0',
        'm2_1',
        '-apT0tfo6U_16000_26000',
        '_offscreen_0_10000',
    ]
    for uid, (rate, channels) in zip(train, forms, strict=True):
        (file,) = tools.data_root.glob(f'v*/{uid}/audio.wav')
        noise = np.random.default_rng(0).uniform(-1, 1, (10 * rate, channels))
        file.write_bytes(wav(noise, rate, 'PCM_16'))
    tools.train()
    assert Path('work/epoch_1.pth').is_file()


def test_more_channels_than_stereo_takes(tools):
    sound = tools.data_root / 'v1s' / CLIP / 'audio.wav'
    sound.write_bytes(wav(np.stack([NOISE] * 6, 1), subtype='PCM_16'))
    message = tools.refuses('train', f'{PIPELINE}.1.channels=stereo')
    assert f'{sound}: it has 6 channels where stereo takes one' in message


def test_short_sounds_are_reported(tools):
    for path in tools.data_root.glob('*/*/audio.wav'):
        path.write_bytes(wav(NOISE[:1600]))
    tools.train()
    log = next(Path('work').glob('*/*.log')).read_text()
    assert 'frames lie after the end of their sound' in log
    # Frame 0 of both v1s clips has a tenth of a second, the others none.
    assert '4 frames lie' in log and 'm1_0/' in log
    assert 'audio.wav is shorter than the clip' in log


# Configurations in which data and model disagree


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (
            f'{PIPELINE}.1.channels=stereo',
            'the sound has 2 channel(s), but model.audio_backbone has '
            'in_channels=1',
        ),
        (
            'model.audio_backbone.in_channels=2',
            'the sound has 1 channel(s), but model.audio_backbone has '
            'in_channels=2',
        ),
        (
            f'{PIPELINE}.1.sample_rate=22050',
            'the sound has 22050 samples per second, but '
            'model.audio_frontend.sample_rate is 16000',
        ),
        (f'{PIPELINE}.2.seconds=0.5', 'CutAudioToFrame gives 0.5 s of sound'),
        (f'{PIPELINE}.2.seconds=3.0', 'CutAudioToFrame gives 3 s of sound'),
        (
            'val_dataloader.dataset.pipeline.2.seconds=3.0',
            'CutAudioToFrame gives 3 s of sound',
        ),
        (
            'model.audio_frontend.num_frames=300',
            'makes num_frames=300 of 2.99 s',
        ),
        (f'{PIPELINE}.6.type=PackSegInputs', 'the samples carry no sound'),
        (f'{PIPELINE}.1.channels=surround', "'mono' or 'stereo', got 'surr"),
    ],
)
def test_model_and_data_disagree(tools, option, message):
    found = tools.refuses('train', option)
    assert message in found


def test_model_and_data_disagree_in_a_test(tools, weights):
    message = tools.refuses(
        'test', weights, 'test_dataloader.dataset.pipeline.1.channels=stereo'
    )
    assert 'in_channels=1' in message


def test_nothing_to_swap_with(tools, weights):
    message = tools.refuses('test', weights, sound='swapped')
    assert 'Swapped audio needs at least two clips' in message

"""Tiny datasets on disk in the real layouts, and what many tests need."""

import contextlib
import csv
import json
import shutil
import subprocess
from pathlib import Path
from runpy import run_path

import cv2
import numpy as np
import pytest
import soundfile
import torch

# Before any test module imports a model of mmseg or mmdet.
import mmcpm  # noqa: F401

SAMPLE_RATE = 16000
FRAMES_PER_CLIP = {'v1s': 5, 'v1m': 5, 'v2': 10}
METADATA_COLUMNS = ('vid', 'uid', 's_min', 's_sec', 'a_obj', 'split', 'label')

# uid, a_obj, split, label. Some ids begin with '-' or '_', and some a_obj
# tokens are no class names, as in the published metadata.
CLIPS = (
    ('__GOGlHL23s_4000_9000', 'bird', 'train', 'v1s'),
    ('zVfLHhs9uv8_3000_8000', 'h orse', 'train', 'v1s'),
    ('m1_0', 'man_guitar', 'train', 'v1m'),
    ('m2_1', 'background', 'train', 'v1m'),
    ('-apT0tfo6U_16000_26000', 'guitar', 'train', 'v2'),
    ('_offscreen_0_10000', 'off-the-screen_man', 'train', 'v2'),
    ('val1s_0_5000', 'dog', 'val', 'v1s'),
    ('val1m_0', 'woman_piano', 'val', 'v1m'),
    ('val2_0_10000', 'car', 'val', 'v2'),
    ('test1s_0_5000', 'cat', 'test', 'v1s'),
    ('test1m_0', 'man_woman_dog', 'test', 'v1m'),
    ('-test2_0_10000', 'violin_piano', 'test', 'v2'),
)


def write_metadata(root: Path, clips) -> None:
    """Write metadata.csv for clips (uid, a_obj, split, label)."""
    with open(root / 'metadata.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(METADATA_COLUMNS)
        for uid, a_obj, split, label in clips:
            writer.writerow((uid[:11], uid, 0, 4, a_obj, split, label))


def write_label_index(root: Path, classes, first: int = 1) -> None:
    """Write label2idx.json, numbered from ``first``."""
    index = {name: number for number, name in enumerate(classes, first)}
    (root / 'label2idx.json').write_text(json.dumps(index))


def sine(second: int, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Make one second of the frequency that stands for ``second``."""
    time = np.arange(rate) / rate
    return 0.5 * np.sin(2 * np.pi * (300 + 100 * second) * time)


def write_clip(
    folder: Path, split: str, label: str, number: int, size: tuple[int, int]
) -> None:
    """Write frames, label maps and sound of one clip.

    Frame i is of the even gray 20 + 20 i; its label map holds class
    ``number + 1`` in the left half and class ``number + 2`` in the lower
    right quarter; second i of the sound is ``sine(i)``.
    """
    num_frames = FRAMES_PER_CLIP[label]
    height, width = size
    (folder / 'frames').mkdir(parents=True)
    (folder / 'labels_semantic').mkdir()
    label_map = np.zeros(size, np.uint8)
    label_map[:, : width // 2] = number + 1
    label_map[height // 2 :, width // 2 :] = number + 2
    labeled = 1 if (label, split) == ('v1s', 'train') else num_frames
    for i in range(num_frames):
        frame = np.full((*size, 3), 20 + 20 * i, np.uint8)
        cv2.imwrite(str(folder / 'frames' / f'{i}.jpg'), frame)
        if i < labeled:
            cv2.imwrite(
                str(folder / 'labels_semantic' / f'{i}.png'), label_map
            )
    sound = np.concatenate([sine(i) for i in range(num_frames)])
    soundfile.write(folder / 'audio.wav', sound, SAMPLE_RATE)


@pytest.fixture(scope='session')
def avss_clips():
    """The clips of ``avss_root``: (uid, a_obj, split, label)."""
    return CLIPS


@pytest.fixture(scope='session')
def avss_writers():
    """Functions that write index files in the AVSS layout."""
    return write_metadata, write_label_index


@pytest.fixture(scope='session')
def sine_second():
    """The function that makes second i of every clip's sound."""
    return sine


@pytest.fixture(scope='session')
def avss_root(tmp_path_factory) -> Path:
    """A read-only data root with twelve clips, of frames of two sizes."""
    from mmcpm.datasets import AVSBenchSemanticDataset

    root = tmp_path_factory.mktemp('avss')
    write_metadata(root, CLIPS)
    write_label_index(root, AVSBenchSemanticDataset.METAINFO['classes'])
    for number, (uid, _, split, label) in enumerate(CLIPS):
        size = (48, 64) if number % 2 else (36, 40)
        write_clip(root / label / uid, split, label, number, size)
    return root


@pytest.fixture
def avss_copy(avss_root, tmp_path) -> Path:
    """A copy of ``avss_root`` that a test may damage."""
    return Path(shutil.copytree(avss_root, tmp_path / 'avss'))


def write_folder(
    root: Path, splits=('train', 'val', 'test'), clips=4, size=(24, 32)
) -> Path:
    """Write clips of three frames with one sound, and a single frame.

    Second i of a clip's sound is the constant 0.1 (i + 1); a single frame's
    is 0.5. The left half of every label is class 1, the lower right class 2.
    """
    label = np.zeros(size, np.uint8)
    label[:, : size[1] // 2] = 1
    label[size[0] // 2 :, size[1] // 2 :] = 2
    for split in splits:
        names = [f'c{n}/{i}' for n in range(clips) for i in range(3)]
        for number, name in enumerate([*names, 'single']):
            for part in ('frames', 'labels', 'audio'):
                path = root / split / part / name
                path.parent.mkdir(parents=True, exist_ok=True)
            frame = np.full((*size, 3), 10 * number, np.uint8)
            folder = root / split
            cv2.imwrite(str(folder / f'frames/{name}.png'), frame)
            cv2.imwrite(str(folder / f'labels/{name}.png'), label)
        for n in range(clips):
            (folder / f'audio/c{n}').rmdir()
            wave = np.repeat([0.1, 0.2, 0.3], SAMPLE_RATE)
            soundfile.write(folder / f'audio/c{n}.wav', wave, SAMPLE_RATE)
        soundfile.write(
            folder / 'audio/single.wav',
            np.full(2 * SAMPLE_RATE, 0.5),
            SAMPLE_RATE,
        )
    (root / 'classes.txt').write_text('dog 255 0 0\ncell phone 0 255 0\n')
    return root


@pytest.fixture(scope='session')
def folder_writer():
    """The function that writes a folder dataset."""
    return write_folder


@pytest.fixture
def folder_root(tmp_path):
    """A folder dataset that a test may damage."""
    return write_folder(tmp_path / 'mine')


@pytest.fixture
def mmseg_scope():
    """Let mmengine look names up in mmseg's registries, as a Runner does."""
    from mmengine.registry import DefaultScope, init_default_scope

    before = DefaultScope.get_current_instance()
    init_default_scope('mmseg')
    yield
    if before is not None:
        init_default_scope(before.scope_name)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded numpy generator."""
    return np.random.default_rng(0)


@pytest.fixture
def torch_generator() -> torch.Generator:
    """A seeded torch generator."""
    return torch.Generator().manual_seed(0)


def check_same(one, other):
    """Check that nested states are equal, tensors bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            check_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            check_same(*pair)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.fixture(scope='session')
def assert_same():
    """The function that compares nested states bit by bit."""
    return check_same


def parsed(tool, *required, **options):
    """Arguments as the command line gives them."""
    parser = run_path(str(Path(__file__).parents[1] / 'tools' / tool))[
        'build_parser'
    ]()
    args = parser.parse_args(list(required))
    assert options.keys() <= vars(args).keys()
    vars(args).update(options)
    return args


@pytest.fixture(scope='session')
def train_args():
    """The function that makes arguments of tools/train.py."""
    return lambda config, **options: parsed('train.py', config, **options)


@pytest.fixture(scope='session')
def test_args():
    """The function that makes arguments of tools/test.py."""
    return lambda *required, **options: parsed('test.py', *required, **options)


@pytest.fixture(scope='session', autouse=True)
def short_reports():
    """What a run prints about itself takes longer than a tiny run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)
        patch.setattr(
            'mmengine.config.config.FormatCode', lambda text, **_: (text, True)
        )
        yield


def write_video(
    path: Path,
    images,
    rate: int = 10,
    sound: np.ndarray | None = None,
    sound_rate: int = SAMPLE_RATE,
    times=None,
    codec: str = 'mpeg4',
    sound_codec: str | None = 'pcm_s16le',
    tracks: int = 1,
    layout: str = 'mono',
) -> Path:
    """Write a video with PyAV; pictures BGR, sound [channels, samples].

    The sound is not compressed unless a codec is named: .avi, .mkv or .mov
    take it as it is.
    """
    from fractions import Fraction

    import av

    height, width = images[0].shape[:2]
    with av.open(str(path), 'w') as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height = width, height
        video.pix_fmt = 'rgb24' if codec == 'png' else 'yuv420p'
        # Hardly any loss.
        if codec.startswith('mpeg'):
            video.codec_context.qmin = video.codec_context.qmax = 1
        if times is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        audio = [
            container.add_stream(sound_codec, rate=sound_rate, layout=layout)
            for _ in range(tracks if sound is not None else 0)
        ]
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format='bgr24')
            if times is not None:
                frame.time_base = Fraction(1, 1000)
                frame.pts = round(1000 * times[index])
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number, stream in enumerate(audio):
            samples = (32767 * sound / (number + 1)).astype(np.int16)
            for start in range(0, samples.shape[1], 1600):
                block = samples[:, start : start + 1600]
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(block.T.reshape(1, -1)),
                    format='s16',
                    layout=layout,
                )
                frame.sample_rate, frame.pts = sound_rate, start
                frame.time_base = Fraction(1, sound_rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


@pytest.fixture(scope='session')
def video_writer():
    """The function that writes a video, or a skip without PyAV."""
    pytest.importorskip('av', reason='PyAV is not installed')
    return write_video


@contextlib.contextmanager
def mount_small_disk(folder, size, option=''):
    """Mount a memory disk of some MiB, or skip the test."""
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', f'size={size}m{option}', 'none']
    if subprocess.run([*mount, folder], capture_output=True).returncode:
        pytest.skip('this user may not mount')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', folder], check=True)


@pytest.fixture(scope='session')
def small_disk():
    """The function that mounts a small disk."""
    return mount_small_disk

import numpy as np
import pytest
import soundfile

from mmcpm.dataset_converters.vpo_builder.recordings import (
    check_recordings,
    cut_clip,
    read_clips,
)
from mmcpm.datasets.errors import (
    AudioReadError,
    DatasetIndexError,
    DatasetNotFoundError,
)

RATE = 16000


@pytest.fixture
def folder(tmp_path):
    """Recordings whose second i is of the level (i + 1) / 10."""
    (tmp_path / 'sounds/a').mkdir(parents=True)
    wave = np.repeat(np.arange(1, 6) / 10, RATE)
    sounds = tmp_path / 'sounds'
    soundfile.write(sounds / 'five.wav', wave, RATE, subtype='FLOAT')
    # Left alone: the mean of both channels is half of it.
    stereo = np.stack([wave, 0 * wave], axis=1)
    soundfile.write(sounds / 'a/stereo.flac', stereo, RATE)
    soundfile.write(sounds / 'silent.wav', 0 * wave, RATE)
    slow = np.repeat(wave, 3)
    soundfile.write(sounds / 'fast.wav', slow, 48000, subtype='FLOAT')
    return tmp_path


def listed(folder, *rows, header='file,class,start'):
    path = folder / 'sounds.csv'
    path.write_text('\n'.join((header, *rows)))
    return read_clips(path, folder / 'sounds')


def levels(clip, seconds=3.0):
    """Mean level of every tenth of a second, to 0.01."""
    wave = cut_clip(clip, seconds)
    return [round(float(part.mean()), 2) for part in wave.reshape(-1, 1600)]


def test_clips_begin_where_the_list_says(folder):
    clips = listed(
        folder, 'five.wav,dog,1', 'five,dog,', 'a/stereo.flac,dog,0.5'
    )
    assert [c.name for c in clips] == [
        'five_001000',
        'five',
        'a_stereo_000500',
    ]
    assert levels(clips[0]) == [0.2] * 10 + [0.3] * 10 + [0.4] * 10
    # The middle of five seconds.
    assert levels(clips[1], 1.0) == [0.3] * 10
    assert levels(clips[2], 1.0) == [0.05] * 5 + [0.1] * 5
    # One that ends before is as long as it is.
    late = listed(folder, 'five.wav,dog,4.5')[0]
    assert levels(late) == [0.5] * 5
    assert levels(clips[1], 9.0) == sum(
        ([i / 10] * 10 for i in range(1, 6)), []
    )


def test_names_are_those_that_the_dataset_adds_a_suffix_to(folder):
    clips = listed(folder, 'x.wav.flac,dog,', 'a\\y.ogg,dog,', 'z,dog,2')
    assert [c.name for c in clips] == ['x_wav', 'a_y', 'z_002000']


def test_other_sample_rates_become_16_khz(folder):
    clip = listed(folder, 'fast.wav,dog,2')[0]
    wave = cut_clip(clip, 1.0)
    assert wave.shape == (16000,)
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave[500:-500], 0.3, atol=0.01)


def test_list_may_have_other_columns_and_delimiters(folder):
    header = 'note;group;class;file'
    clip = listed(folder, 'x;film 7;dog;five.wav', header=header)[0]
    assert (clip.label, clip.group, clip.start) == ('dog', 'film 7', None)


def test_recordings_of_no_use_are_not_read(folder):
    clips = listed(folder, 'five.wav,dog,', 'none.wav,thunder,')
    checked = check_recordings(clips, {'dog'}, 3.0)
    assert [clip.name for clip in checked] == ['five']
    assert len(checked[0].content) == 64


def test_recordings_are_read_anew_each_time(folder):
    clips = listed(folder, 'five.wav,dog,')
    before = check_recordings(clips, {'dog'}, 3.0)
    soundfile.write(folder / 'sounds/five.wav', np.ones(48000) / 2, RATE)
    after = check_recordings(clips, {'dog'}, 3.0)
    assert after[0].content != before[0].content
    assert levels(after[0]) == [0.5] * 30


def test_unusable_recordings_are_listed_with_their_rows(folder):
    (folder / 'sounds/text.wav').write_text('hello')
    whole = (folder / 'sounds/five.wav').read_bytes()
    # 250 samples of 4 bytes at 16 kHz: 15.6 ms.
    (folder / 'sounds/cut.wav').write_bytes(whole[:-1000])
    clips = listed(
        folder,
        'five.wav,dog,0',
        'five.wav,dog,5.1',
        'silent.wav,dog,',
        'text.wav,dog,',
        'cut.wav,dog,',
        'none.wav,dog,',
    )
    with pytest.raises(AudioReadError) as caught:
        check_recordings(clips, {'dog'}, 3.0)
    message = str(caught.value)
    assert '5 of 6 clips' in message
    for told in (
        'line 3: ',
        'start is 5.1 s, the recording ends after 5.00 s',
        'line 4: ',
        'nothing is heard',
        'line 5: ',
        'could not be decoded',
        'line 6: ',
        'truncated: 0.02 s of 5.00 s',
        'line 7: ',
        'No such file',
    ):
        assert told in message


@pytest.mark.parametrize(
    ('rows', 'told'),
    [
        (['five.wav,dog,-1'], "line 2: start '-1'"),
        (['five.wav,dog,soon'], "line 2: start 'soon'"),
        (['five.wav,dog,inf'], "start 'inf'"),
        (['five.wav,,1'], "line 2: file 'five.wav' of class ''"),
        (['../five.wav,dog,1'], 'expected a path inside'),
        (['/five.wav,dog,1'], 'expected a path inside'),
        ([',dog,1'], "file ''"),
        (
            ['five.wav,dog,1', 'five.wav,cat,1.0'],
            "line 3: the clip 'five_001000' stands in line 2",
        ),
        (['five.wav,dog'], 'line 2: 2 cells'),
    ],
)
def test_bad_rows_are_refused(folder, rows, told):
    with pytest.raises(DatasetIndexError, match=told):
        listed(folder, *rows)


def test_what_is_missing_is_named(folder):
    with pytest.raises(DatasetIndexError, match='column class is missing'):
        listed(folder, 'five.wav,1', header='file,start')
    with pytest.raises(DatasetNotFoundError, match='No folder .*elsewhere'):
        read_clips(folder / 'sounds.csv', folder / 'elsewhere')
    with pytest.raises(DatasetNotFoundError, match=r'none\.csv'):
        read_clips(folder / 'none.csv', folder / 'sounds')

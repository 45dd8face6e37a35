import functools
import io
import itertools
import re
import struct

import numpy as np
import pytest
import soundfile

from mmcpm.datasets.transforms.mp3_frames import read_head
from mmcpm.datasets.transforms.sound_files import SoundFile

SECONDS = 3
WAV_CODECS = {
    'wav u8': ('PCM_U8', 16000), 'wav 24': ('PCM_24', 44100),
    'wav float': ('FLOAT', 48000), 'wav double': ('DOUBLE', 8000),
    'wav a-law': ('ALAW', 8000), 'wav u-law': ('ULAW', 8000),
    'wav ima': ('IMA_ADPCM', 16000), 'wav ms': ('MS_ADPCM', 16000),
    'wav gsm': ('GSM610', 8000), 'wav g721': ('G721_32', 8000),
    'wav nms': ('NMS_ADPCM_32', 8000),
}  # fmt: skip
CONTAINERS = {
    'wav': ('WAV', 'PCM_16', 16000),
    **{name: ('WAV', *form) for name, form in WAV_CODECS.items()},
    'rifx': ('WAV', 'PCM_16', 16000, 'BIG'),
    'extensible': ('WAVEX', 'PCM_24', 16000),
    'rf64': ('RF64', 'PCM_16', 16000),
    'w64': ('W64', 'PCM_16', 16000),
    'aiff': ('AIFF', 'PCM_16', 16000),
    'aifc': ('AIFF', 'FLOAT', 16000),
    'aiff ima': ('AIFF', 'IMA_ADPCM', 16000),
    'au': ('AU', 'PCM_16', 16000),
    'au little': ('AU', 'PCM_16', 16000, 'LITTLE'),
    'caf': ('CAF', 'PCM_16', 16000),
    'alac': ('CAF', 'ALAC_16', 16000),
    'flac': ('FLAC', 'PCM_16', 16000),
    'vorbis': ('OGG', 'VORBIS', 16000),
    'vorbis 44': ('OGG', 'VORBIS', 44100),
    'opus': ('OGG', 'OPUS', 48000),
    'opus 16': ('OGG', 'OPUS', 16000),
    'mp3': ('MP3', 'MPEG_LAYER_III', 44100),
    'mp3 16': ('MP3', 'MPEG_LAYER_III', 16000),
}
# Bytes that are cut take a whole block with them.
IN_BLOCKS = re.compile('flac|vorbis|opus|mp3|alac|.*(ima|ms|gsm|g721)$')


@functools.cache
def content(name, seconds=SECONDS):
    """A file of noise and tone in turn, and its decoded samples."""
    kind, subtype, rate, *endian = CONTAINERS[name]
    time = np.arange(rate * seconds + 7) / rate
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, len(time))
    samples = np.where(time % 2 < 1, 0.3 * np.sin(2000 * time), noise)
    file = io.BytesIO()
    with soundfile.SoundFile(
        file, 'w', rate, 1, subtype, *(endian or ['FILE']), format=kind
    ) as writer:
        # libsndfile crashes on long pieces of Vorbis.
        for start in range(0, len(samples), 4096):
            writer.write(samples[start : start + 4096])
    data = file.getvalue()
    with soundfile.SoundFile(io.BytesIO(data)) as reader:
        whole = reader.read(reader.frames, dtype='float32')
    return data, whole, rate


def read(data):
    return SoundFile(io.BytesIO(data)).read(0, 10**9)[0]


@pytest.mark.parametrize('name', CONTAINERS)
def test_parts_are_those_of_the_whole(name):
    data, whole, rate = content(name)
    sound = SoundFile(io.BytesIO(data))
    assert (sound.frames, sound.rate, sound.channels) == (len(whole), rate, 1)
    assert abs(len(whole) / rate - SECONDS) < 0.1
    np.testing.assert_allclose(
        np.concatenate(list(sound.blocks()), 1)[0], whole, atol=1e-6
    )
    last = len(whole) - 1
    places = [0, last, 5000, last - 441, 1, last - 2000, len(whole) // 2]
    places += np.random.default_rng(1).integers(0, last, 8).tolist()
    for place in places:
        np.testing.assert_allclose(
            sound.read(place, place + 3000)[0],
            whole[place : place + 3000],
            atol=1e-6,
        )


@pytest.mark.parametrize('share', [0.05, 0.5, 0.95])
@pytest.mark.parametrize('name', CONTAINERS)
def test_a_cut_file_is_refused(name, share):
    data, _, _ = content(name)
    with pytest.raises(ValueError, match='truncated|could not be decoded'):
        read(data[: int(share * len(data))])


@pytest.mark.parametrize('name', CONTAINERS)
def test_a_hundredth_of_a_second_is_the_limit(name):
    data, whole, rate = content(name)
    per_second = len(data) * rate / len(whole)
    with pytest.raises(ValueError, match='truncated|could not be decoded'):
        read(data[: -int(0.3 * per_second)])
    if IN_BLOCKS.match(name):
        return
    with pytest.raises(ValueError, match=r'truncated: 0\.01 s of 3\.0'):
        read(data[: -int(0.0115 * per_second)])
    found = read(data[: -int(0.008 * per_second)])
    assert 0 < len(whole) - len(found) < 0.01 * rate
    np.testing.assert_array_equal(found, whole[: len(found)])
    assert len(read(data[:-1])) >= len(whole) - 1


@pytest.mark.parametrize('name', CONTAINERS)
def test_what_follows_the_sound_does_no_harm(name):
    tails = [b'garbage' * 99, bytes(3000)]
    if name in ('flac', 'alac', 'mp3', 'mp3 16', 'caf'):
        tails = [b'TAG' + bytes(125)]
    data, whole, _ = content(name)
    for tail in tails:
        np.testing.assert_allclose(read(data + tail), whole, atol=1e-6)


TAG = b'ID3\x04\0\0\0\0\x07\x76' + bytes(1014)
FOOTED = TAG[:5] + b'\x10' + TAG[6:] + b'3DI' + TAG[3:5] + b'\x10' + TAG[6:10]


@pytest.mark.parametrize('tag', [TAG, TAG + TAG, FOOTED])
@pytest.mark.parametrize('name', ['wav', 'rf64', 'aiff', 'mp3', 'flac'])
def test_a_tag_before_the_sound_is_stepped_over(name, tag):
    data, whole, _ = content(name)
    np.testing.assert_allclose(read(tag + data), whole, atol=1e-6)


def test_codecs_that_cannot_be_decoded_are_no_damage():
    data = bytearray(content('wav')[0])
    # AAC.
    struct.pack_into('<H', data, data.index(b'fmt ') + 8, 0xFF)
    with pytest.raises(ValueError, match='codec is not supported'):
        read(bytes(data))


# Lengths that nobody filled in

OPEN = (0, 2**32 - 1, 2**31, 2**31 - 1, 0x7FFFF000, 2**32 - 38)


def find(data, name):
    """The place of a part whose name may occur earlier."""
    place = data.rindex(name, 0, 5000)
    return place + len(name)


@pytest.mark.parametrize('whole_size', [0, 8, 36, None, 2**32 - 1])
@pytest.mark.parametrize('size', OPEN)
def test_wav_of_unknown_length(size, whole_size):
    data, whole, _ = content('wav')
    data = bytearray(data)
    if whole_size is not None:
        struct.pack_into('<I', data, 4, whole_size)
    struct.pack_into('<I', data, find(data, b'data'), size)
    sound = SoundFile(io.BytesIO(bytes(data)))
    assert sound.is_open
    np.testing.assert_array_equal(sound.read(0, 10**9)[0], whole)


@pytest.mark.parametrize(
    ('name', 'part', 'offset', 'form', 'sizes'),
    [
        ('rifx', b'data', 0, '>I', OPEN),
        ('rf64', b'ds64', 4, '<QQ', (0, 2**64 - 1)),
        ('w64', b'data', 12, '<Q', (0, 24, 2**64 - 1, 2**63 - 1)),
        ('aiff', b'SSND', 0, '>I', (0, 2**32 - 1, 2**31 - 1)),
        ('au', b'.snd', 4, '>I', (0, 2**32 - 1, 2**31 - 1)),
        ('au little', b'dns.', 4, '<I', (0, 2**32 - 1)),
        ('caf', b'data', 0, '>q', (-1, 0)),
        ('wav gsm', b'data', 0, '<I', (0, 2**32 - 1)),
        ('wav ima', b'data', 0, '<I', (0, 2**32 - 1)),
        ('wav a-law', b'data', 0, '<I', (0, 2**32 - 1)),
    ],
)
def test_other_containers_of_unknown_length(name, part, offset, form, sizes):
    original, whole, _ = content(name)
    for size in sizes:
        data = bytearray(original)
        values = [size] * (len(form) - 1)
        struct.pack_into(form, data, find(data, part) + offset, *values)
        sound = SoundFile(io.BytesIO(bytes(data)))
        assert sound.is_open
        (found,) = sound.read(0, 10**9)
        # A byte of padding may count as a sample.
        assert len(found) - len(whole) in (0, 1)
        np.testing.assert_allclose(found[: len(whole)], whole, atol=1e-6)


@pytest.mark.parametrize('seconds', [1, SECONDS])
def test_flac_of_unknown_length(seconds):
    data, whole, _ = content('flac', seconds)
    stream = bytearray(data)
    packed = int.from_bytes(data[18:26], 'big')
    assert packed & (2**36 - 1) == len(whole)
    stream[18:26] = (packed & ~(2**36 - 1)).to_bytes(8, 'big')
    sound = SoundFile(io.BytesIO(bytes(stream)))
    assert sound.is_open and sound.frames == len(whole)
    np.testing.assert_array_equal(sound.read(0, 10**9)[0], whole)
    np.testing.assert_array_equal(sound.read(9000, 9100)[0], whole[9000:9100])
    with pytest.raises(ValueError, match='truncated'):
        read(bytes(stream[: len(stream) // 2]))


@pytest.mark.parametrize('more', [1, 2, 16, 300])
def test_sizes_that_are_a_little_too_large(more):
    data, whole, _ = content('wav')
    data = bytearray(data)
    place = find(data, b'data')
    size = struct.unpack_from('<I', data, place)[0]
    struct.pack_into('<I', data, place, size + more)
    np.testing.assert_array_equal(read(bytes(data)), whole)
    struct.pack_into('<I', data, place, size + 400)
    with pytest.raises(ValueError, match='0.01 s of 3.01 s'):
        read(bytes(data))


def test_parts_around_the_samples_are_stepped_over():
    data, whole, _ = content('wav')
    place = data.index(b'data')
    # An odd part is followed by one byte of padding.
    extra = b'LIST' + struct.pack('<I', 5) + b'data!\x00'
    np.testing.assert_array_equal(
        read(data[:place] + extra + data[place:] + extra), whole
    )
    longer = data[:place] + extra + data[place:]
    with pytest.raises(ValueError, match='1.50 s of 3.00 s'):
        read(longer[: -len(whole)])


def test_a_wav_file_without_samples_is_no_open_one():
    data, _, _ = content('wav')
    place = data.index(b'data')
    empty = data[:place] + b'data' + bytes(4)
    listed = empty + b'LIST' + struct.pack('<I', 4) + b'INFO'
    for file in (empty, listed):
        with pytest.raises(ValueError, match='it holds no samples'):
            SoundFile(io.BytesIO(file))


def pages(data):
    """Where the pages of an Ogg file begin."""
    found, place = [], 0
    while place < len(data):
        found.append(place)
        table = data[place + 27 : place + 27 + data[place + 26]]
        place += 27 + len(table) + sum(table)
    return found


@pytest.mark.parametrize('name', ['vorbis', 'opus'])
def test_ogg_without_its_last_pages(name):
    data, whole, rate = content(name)
    *_, before, last = pages(data)
    # A stream that was written live has no mark at its end.
    sound = SoundFile(io.BytesIO(data[:last]))
    assert sound.is_open and 0 < sound.frames < len(whole)
    for cut in (last + 5, last + 20, last + 60, len(data) - 1, before + 30):
        with pytest.raises(ValueError, match='truncated'):
            SoundFile(io.BytesIO(data[:cut]))
    with pytest.raises(ValueError, match='truncated: its end is missing'):
        SoundFile(io.BytesIO(data[:last] + bytes(5000)))
    lost = (len(whole) - sound.frames) / rate
    with pytest.raises(ValueError, match=f'truncated: {lost:.1f}'):
        SoundFile(io.BytesIO(data[: last + 60]))


@pytest.mark.parametrize('following', ['vorbis', 'vorbis 44', 'opus'])
@pytest.mark.parametrize('name', ['vorbis', 'opus 16'])
def test_a_chain_of_sounds_is_not_taken_for_the_first(name, following):
    chain = content(name)[0] + content(following)[0]
    with pytest.raises(ValueError, match='several sounds one after another'):
        read(chain)


@pytest.mark.parametrize('more', [0, 300_000])
@pytest.mark.parametrize('name', ['vorbis', 'opus'])
def test_sound_beside_another_stream(name, more):
    data, whole, _ = content(name)
    places = [*pages(data), len(data)]
    own = [data[a:b] for a, b in itertools.pairwise(places)]
    # Text, for one.
    head = b'OggS\0%c' + struct.pack('<qIII', 2**40, 77, 0, 0) + b'\x01\x08'
    other = head % 0 + b'somedata'
    both = own[:1] + [head % 2 + b'somename', *own[1:2], other, *own[2:]]
    longer = b''.join(both) + other * (more // len(other)) + head % 4
    np.testing.assert_allclose(read(longer + b'somedata'), whole, atol=1e-6)
    with pytest.raises(ValueError, match='truncated'):
        read(b''.join(both)[:-50])


@pytest.mark.parametrize(
    'before', [bytes(700), b'abc' * 99, TAG + bytes(999), b'APETAGEX' * 40000]
)
def test_bytes_before_the_first_mp3_frame_are_stepped_over(before):
    data, whole, _ = content('mp3')
    np.testing.assert_allclose(read(before + data), whole, atol=1e-6)


def test_parts_of_an_mp3_file():
    data, whole, rate = content('mp3')
    # Joined files with tags between and behind them.
    found = read(TAG + data + TAG + data + b'TAG' + bytes(125))
    assert abs(len(found) - 2 * len(whole)) < 0.1 * rate
    np.testing.assert_allclose(found[: len(whole)], whole, atol=1e-6)
    middle = whole[20000:40000]
    assert any(
        np.allclose(found[place : place + len(middle)], middle, atol=1e-6)
        for place in range(20000 + len(whole), len(found) - len(middle))
    )
    with pytest.raises(ValueError, match='number of channels changes at byte'):
        read(data + content('mp3 16')[0])
    half = len(data) // 2
    with pytest.raises(ValueError, match='damaged: .* are no MP3 frames'):
        read(data[:half] + b'xyz' * 500 + data[half + 1500 :])


@pytest.mark.parametrize('name', ['mp3', 'mp3 16'])
def test_the_decoder_of_mp3_has_nothing_to_complain_of(name, capfd):
    data, whole, _ = content(name, 9)
    sound = SoundFile(io.BytesIO(data))
    for place in range(0, len(whole), 7001):
        sound.read(place, place + 500)
    assert capfd.readouterr() == ('', '')


def without_tag(data):
    """Take off the frame in which LAME tells the number of frames."""
    for place in range(4, 2000):
        if data[place : place + 2] == data[:2]:
            return data[place:]
    raise AssertionError


@pytest.mark.parametrize('name', ['mp3', 'mp3 16'])
def test_mp3_of_any_bit_rate_needs_no_count(name):
    data, whole, rate = content(name, 9)
    bare = without_tag(data)
    # libsndfile goes by the first frame.
    guessed = soundfile.info(io.BytesIO(bare)).frames
    sound = SoundFile(io.BytesIO(bare))
    assert guessed != sound.frames
    found = sound.read(0, 10**9)[0]
    # What the encoder added is not known without its tag, and is kept.
    assert 0 <= len(found) - len(whole) < 0.2 * rate
    start = next(
        shift
        for shift in range(4000)
        if np.abs(found[shift : shift + 9000] - whole[:9000]).max() < 1e-5
    )
    np.testing.assert_allclose(
        found[start : start + len(whole)], whole, atol=1e-5
    )
    with pytest.raises(ValueError, match='truncated'):
        # In the middle of a frame.
        read(bare[: len(bare) // 2 + 41])


def test_mp3_goes_on_behind_what_is_no_frame():
    data, whole, _ = content('mp3', 9)
    bare = without_tag(data)
    other, middle = SoundFile(io.BytesIO(bare)), 0
    for _ in range(200):
        middle += read_head(bare, middle).size
    junk = b'junk' * 20  # Less than any frame: none is lost.
    sound = SoundFile(io.BytesIO(bare[:middle] + junk + bare[middle:]))
    assert sound.frames == other.frames
    last = sound.frames - 50_000
    np.testing.assert_allclose(
        sound.read(last, last + 9000), other.read(last, last + 9000), atol=1e-6
    )


@pytest.mark.parametrize(
    ('value', 'told'),
    [
        (np.nan, '1 of the 4 samples read are NaN or infinite'),
        (np.inf, '1 of the 4 samples read are NaN or infinite'),
        (9999, 'its largest sample is 1e[+]04, where full scale is 1'),
    ],
)
def test_samples_are_checked_where_they_are_read(value, told):
    samples, file = np.zeros(8000), io.BytesIO()
    samples[7] = value
    soundfile.write(file, samples, 8000, subtype='FLOAT', format='WAV')
    sound = SoundFile(io.BytesIO(file.getvalue()))
    assert not sound.read(8, 8000).any()
    with pytest.raises(ValueError, match=told):
        sound.read(4, 8)

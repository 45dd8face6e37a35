import string

from hypothesis import given
from hypothesis import strategies as st

from mmcpm.datasets.metadata.folder import pair_files

NAMES = st.text(string.ascii_letters + '_-', min_size=1, max_size=6)
CLIPS = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from(('single', 'shared', 'own')),
        st.integers(1, 5),  # Frames.
        st.integers(0, 1),  # First number.
        st.sampled_from(('{}', '{:03}', 'f_{}')),
        st.sampled_from(('.jpg', '.PNG', '.webp')),
    ),
    min_size=1,
    max_size=5,
)


def lay_out(clips):
    """Make files of clips, and the expected samples."""
    files = dict(frames=[], labels=[], audio=[])
    expected = set()
    for clip, (kind, number, first, form, suffix) in clips.items():
        if kind == 'single':
            paths = {clip: (f'{clip}/0', 0.0, clip)}
        else:
            paths = {}
            for i in range(number):
                name = form.format(first + i)
                sound = clip if kind == 'shared' else f'{clip}/{name}'
                start = float(i) if kind == 'shared' else 0.0
                paths[f'{clip}/{name}'] = (f'{clip}/{name}', start, sound)
        for stem, (sample_id, start, sound) in paths.items():
            files['frames'].append(stem + suffix)
            files['labels'].append(f'{stem}.png')
            files['audio'].append(f'{sound}.wav')
            expected.add(
                (
                    sample_id,
                    f'frames/{stem}{suffix}',
                    f'labels/{stem}.png',
                    f'audio/{sound}.wav',
                    start,
                )
            )
    files['audio'] = list(dict.fromkeys(files['audio']))
    return files, expected


@given(CLIPS, st.randoms())
def test_any_layout_is_paired(clips, random):
    files, expected = lay_out(clips)
    for paths in files.values():
        random.shuffle(paths)
    samples, faults = pair_files(files)
    assert faults == []
    assert {(f'{s.uid}/{s.name}', *s[2:]) for s in samples} == expected
    assert len(samples) == len(expected)
    assert [s.uid for s in samples] == sorted(s.uid for s in samples)


@given(CLIPS, st.data())
def test_a_lost_file_is_told_and_no_sample_is_wrong(clips, data):
    files, expected = lay_out(clips)
    part = data.draw(st.sampled_from(('frames', 'labels', 'audio')))
    files[part].remove(data.draw(st.sampled_from(files[part])))
    samples, faults = pair_files(files)
    found = {(f'{s.uid}/{s.name}', *s[2:]) for s in samples}
    assert any(fault.kind != 'extra' for fault in faults)
    assert (
        len(found - expected) == 0
        or any(fault.kind == 'numbering' for fault in faults)
        or part == 'frames'
    )


def test_a_sound_without_frame_is_only_noted():
    files = dict(frames=['a.jpg'], labels=['a.png'], audio=['a.wav', 'b.mp3'])
    samples, faults = pair_files(files)
    assert [sample.uid for sample in samples] == ['a']
    assert [tuple(fault) for fault in faults] == [
        ('extra', 'audio/b.mp3', 'no frame of that name')
    ]


def test_numbers_are_ordered_as_numbers():
    names = [f'c/{i}' for i in range(12)]
    files = dict(
        frames=[f'{n}.jpg' for n in names],
        labels=[f'{n}.png' for n in names],
        audio=['c.wav'],
    )
    samples, _ = pair_files(files)
    assert [s.name for s in samples] == [str(i) for i in range(12)]
    assert [s.start for s in samples] == list(range(12))
    twice = {**files, 'frames': [*files['frames'], 'c/03.jpg']}
    twice['labels'] = [*files['labels'], 'c/03.png']
    _, faults = pair_files(twice)
    assert faults[0].what == 'several frames have the number 3'

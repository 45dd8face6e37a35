"""A JSON file that is valid whenever it ends."""

import errno
import json
import os

import numpy as np
import pytest

from mmcpm.apis.frame_list import FrameList
from mmcpm.apis.frame_result import ClassScore, FrameResult

HEAD = {'name': 'clip', 'classes': ['background', 'dog']}


def result(index):
    return FrameResult(
        index,
        index / 10,
        f'clip/{index}',
        np.zeros((2, 2), np.uint8),
        [ClassScore(1, 'dog', 0.5, 0.25)],
    )


@pytest.mark.parametrize('number', [0, 1, 5])
@pytest.mark.parametrize('is_complete', [True, False])
def test_frames_of_a_file(tmp_path, number, is_complete):
    frames = FrameList(tmp_path / 'a.json', HEAD)
    for index in range(number):
        frames.add(result(index))
    path = frames.end(is_complete, ['a note'])
    assert path.name == ('a.json' if is_complete else 'a.partial.json')
    told = json.loads(path.read_text())
    assert {key: told[key] for key in HEAD} == HEAD
    assert told['complete'] == is_complete and told['notes'] == ['a note']
    assert told['frames'] == [
        {
            'index': k,
            'time': k / 10,
            'sample_id': f'clip/{k}',
            'classes': [{'id': 1, 'name': 'dog', 'score': 0.5, 'area': 0.25}],
        }
        for k in range(number)
    ]


@pytest.mark.parametrize('number', [2, 500])
def test_full_disk_keeps_whole_frames(tmp_path, number):
    frames = FrameList(tmp_path / 'a.json', HEAD)
    for index in range(number):
        frames.add(result(index))
    # All but the last bytes reach the disk.
    file, target = frames._file, frames._target
    file.flush()
    size = target.path.stat().st_size
    os.truncate(target.path, size - 30)

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        close = file.close

    frames._file = Full()
    path = frames.end(False, [])
    if path is not None:
        told = json.loads(path.read_text())
        assert told['complete'] is False
        assert number - 3 <= len(told['frames']) < number
    # Of two frames there may be no room for the end of the file.
    assert number == 2 or path is not None
    assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]

"""What metadata.csv and label2idx.json hold."""

import json

import pytest

FIRST = '__GOGlHL23s_4000_9000'


def header_only(text):
    return text.splitlines()[0] + '\n'


def without_labels(text):
    return '\n'.join(line.rsplit(',', 1)[0] for line in text.splitlines())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda text: '', 'metadata.csv is empty (0 characters'),
        (header_only, 'names no clips: there is no row below the first'),
        (without_labels, 'column label is missing; the first row names vid'),
        (
            lambda text: text.replace('split', 'Split'),
            'column split is missing; the first row names vid, uid, s_min, '
            's_sec, a_obj, Split, label',
        ),
        (
            lambda text: text.replace(',val,', ',validation,'),
            "line 8 (uid 'val1s_0_5000'): unknown split 'validation'; "
            'expected one of train, val, test',
        ),
        (
            lambda text: text.replace(',v1s', ',v3'),
            f"line 2 (uid {FIRST!r}): unknown label 'v3'; expected one of "
            'v1s, v1m, v2',
        ),
        (lambda text: text[:-12], 'line 13: 5 cells, separated by commas, wh'),
        (lambda text: text + '\0' * 40, 'line 14'),
        (
            lambda text: text.replace('m1_0', '../m1'),
            "line 4: uid '../m1' cannot be the name of a file or folder",
        ),
        (
            lambda text: text + text.splitlines()[1] + '\n',
            f'predictions are named by the uid: {FIRST}. Remove the repeated',
        ),
        (
            lambda text: text.replace(',val,', ',test,'),
            "no clip with split='val' and subset=None. Its 12 rows are",
        ),
    ],
    ids=[
        'empty',
        'header only',
        'no column label',
        'capital',
        'other split',
        'other subset',
        'truncated',
        'zeros at the end',
        'path in a uid',
        'clip twice',
        'no validation',
    ],
)
def test_metadata(tools, change, message):
    file = tools.data_root / 'metadata.csv'
    file.write_text(change(file.read_text()))
    found = tools.refuses('train')
    assert str(file) in found and message in found


@pytest.mark.parametrize(
    ('encoding', 'byte'), [('utf-16', '0xff'), ('latin-1', '0xe4')]
)
def test_metadata_in_another_encoding(tools, encoding, byte):
    file = tools.data_root / 'metadata.csv'
    text = file.read_text().replace('man_guitar', 'män_guitar')
    file.write_text(text, encoding)
    message = tools.refuses('train')
    assert f'{file}: expected a UTF-8 text file' in message
    assert byte in message and 'Restore it' in message


def test_metadata_with_byte_order_mark_is_read(tools):
    file = tools.data_root / 'metadata.csv'
    file.write_text(file.read_text(), 'utf-8-sig')
    tools.accepts('train')


def test_metadata_with_windows_line_ends_is_read(tools):
    file = tools.data_root / 'metadata.csv'
    file.write_bytes(file.read_text().replace('\n', '\r\n').encode())
    tools.accepts('train')


def shuffled(index):
    index['man'], index['woman'] = index['woman'], index['man']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda index: index.pop('background'),
            'lists 70 classes, AVSBenchSemanticDataset has 71. Not in the '
            'file: background',
        ),
        (shuffled, "gives class 'man' the id 70"),
        (
            lambda index: index.update(man=index['woman']),
            'AVSBenchSemanticDataset gives it 41',
        ),
        (
            lambda index: index.update(unicorn=index.pop('wolf')),
            'Not in the file: wolf; not in AVSBenchSemanticDataset: unicorn',
        ),
        (
            lambda index: index.update({k: str(v) for k, v in index.items()}),
            'expected a JSON object from class name to number',
        ),
    ],
    ids=['70 classes', 'shuffled', 'id twice', 'other name', 'text'],
)
def test_label_index(tools, change, message):
    file = tools.data_root / 'label2idx.json'
    index = json.loads(file.read_text())
    change(index)
    file.write_text(json.dumps(index))
    found = tools.refuses('train')
    assert str(file) in found and message in found
    assert "Use the dataset's own label2idx.json" in found


@pytest.mark.parametrize('content', ['', '{"background": 1, "accor', '[1]'])
def test_label_index_that_is_none(tools, content):
    (tools.data_root / 'label2idx.json').write_text(content)
    message = tools.refuses('train')
    assert 'label2idx.json: expected a JSON object' in message


def test_label_index_may_count_from_zero(tools):
    file = tools.data_root / 'label2idx.json'
    index = json.loads(file.read_text())
    file.write_text(json.dumps({k: v - 1 for k, v in index.items()}))
    tools.accepts('train')

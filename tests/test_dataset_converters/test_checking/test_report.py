import csv

from mmcpm.dataset_converters.checking.report import (
    KINDS,
    Count,
    Finding,
    Report,
)


def report_of(*findings):
    report = Report('title')
    report.add(findings)
    return report


def test_what_several_rows_share_is_told_once_of_no_row():
    report = report_of(
        Finding('missing', 'v2', 'no such folder', 3),
        Finding('missing', 'v2', 'no such folder', 4),
        Finding('frame', 'a.jpg', 'x', 5),
        Finding('frame', 'a.jpg', 'x', 5),
    )
    assert [(f.file, f.row) for f in report.findings] == [
        ('v2', None),
        ('a.jpg', 5),
    ]


def test_faults_are_told_before_notes_and_counted():
    report = report_of(
        Finding('extra', 'x.txt', '3 bytes'),
        Finding('sound', 'a.wav', 'the file is empty', 7),
    )
    assert report.num_faults == 1
    text = report.text()
    assert text.index('FAULT: Unreadable sounds (1)') < text.index('note:')
    assert 'a.wav (line 7): the file is empty' in text
    assert KINDS['sound'].remedy in text
    assert text.endswith('1 fault(s), 1 note(s)')


def test_long_lists_are_cut():
    report = report_of(*(Finding('extra', f'{i}', '') for i in range(5000)))
    assert 'and 4980 more' in report.text()
    assert len(report.text().splitlines()) < 30
    assert 'more' not in report.text(limit=None)


def test_counts_are_laid_out():
    report = Report('title')
    report.counts = [Count('train', 3, 15, 14, 296, 1480), Count('x', 1, 2, 2)]
    lines = report.text().splitlines()
    numbers = [line.replace('|', ' ').split() for line in lines if '|' in line]
    assert numbers[1] == ['train', '3', '296', '15', '14', '1480']
    assert numbers[2] == ['x', '1', '-', '2', '2', '-']


def test_the_table_of_all_findings(tmp_path):
    report_of(
        Finding('sound', 'a,b.wav', 'the file is empty', 7),
        Finding('extra', 'ü.txt', '3 bytes'),
    ).write_csv(tmp_path / 'a.csv')
    with open(tmp_path / 'a.csv', newline='', encoding='utf-8') as file:
        first, second = csv.DictReader(file)
    assert first['level'] == 'fault'
    assert (first['file'], first['row']) == ('a,b.wav', '7')
    assert second['level'] == 'note'
    assert (second['file'], second['row']) == ('ü.txt', '')


def test_every_kind_has_a_remedy():
    assert all(kind.title and kind.remedy for kind in KINDS.values())

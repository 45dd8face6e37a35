import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcpm.datasets.errors import DatasetIndexError
from mmcpm.datasets.metadata.vpo import (
    Source,
    VPOClip,
    VPOImage,
    held_out_images,
    read_reorganised_index,
    read_vpo_index,
    seeded_order,
)

HEADER = 'img_Id,ann_Ids,cateName,cateId,vgg_file,audio_pos,split'


def read(rows, subset='ms', header=HEADER):
    if subset == 'msmi':
        header += ',multi_instance'
    return read_vpo_index('\n'.join((header, *rows)), 'vpo.csv', subset)


def test_every_row_of_ss_is_a_sample():
    images = read(
        [
            '42,7,dog,18,abc_000010,0.25,train',
            '42,8,cell phone,77,-x_1,1,train',
        ],
        'ss',
    )
    assert images[0] == VPOImage(
        '000000000042',
        'dog/000000000042_000000000007',
        'dog',
        'VPO-SS',
        'train',
        (Source('abc_000010', 0.25),),
    )
    assert images[1].name == 'cell phone/000000000042_000000000008'


def test_rows_of_an_image_are_one_sample():
    images = read(
        [
            '42,7,dog,18,a,0.25,train',
            '9,1,car,3,b,0.5,val',
            '42.0,8,cat,17,c,0.75,train',
        ]
    )
    assert [image.name for image in images] == ['000000000042', '000000000009']
    assert images[0].sources == (Source('a', 0.25), Source('c', 0.75))
    assert images[1].split == 'val'
    assert {image.folder for image in images} == {'VPO-MS'}


def test_images_without_several_instances_lie_in_ms():
    images = read(
        [
            '1,1,dog,18,a,0.2,train,0',
            '2,1,dog,18,a,0.2,train,1',
            '2,2,cat,17,b,0.9,train,1',
            '3,1,dog,18,a,0.2,train,0',
            '3,2,dog,18,a,0.2,train,True',
        ],
        'msmi',
    )
    assert [image.folder for image in images] == [
        'VPO-MS',
        'VPO-MSMI',
        'VPO-MSMI',
    ]


def test_positions_may_be_unknown():
    header = HEADER.replace('audio_pos,', '')
    images = read(['1,1,dog,18,a,train'], header=header)
    assert images[0].sources == (Source('a', None),)


def test_more_columns_in_another_order_are_read():
    header = ',split,vgg_label,vgg_file,img_Id,audio_pos'
    images = read(['0,val,dog barking,a,1,0.5'], header=header)
    assert images[0].sources == (Source('a', 0.5),)


@pytest.mark.parametrize(
    ('subset', 'rows', 'match'),
    [
        ('ms', ['1,1,dog,18,a,0.2,test'], "line 2: unknown split 'test'"),
        ('ms', ['x,1,dog,18,a,0.2,val'], "img_Id 'x' is no whole number"),
        ('ms', ['1.5,1,dog,18,a,0.2,val'], "img_Id '1.5'"),
        ('ms', ['1,1,dog,18,a,1.2,val'], r"audio_pos '1.2'; .*0 \(left"),
        ('ms', ['1,1,dog,18,a,nan,val'], "audio_pos 'nan'"),
        ('ms', ['1,1,dog,18,a,,val'], "audio_pos ''"),
        ('ms', ['1,1,dog,18,../a,0.2,val'], "vgg_file '../a'"),
        ('ss', ['1,1,..,18,a,0.2,val'], "cateName '..'"),
        ('ss', ['1,[1],dog,18,a,0.2,val'], r"ann_Ids '\[1\]'"),
        ('ss', ['1,1,dog,18,a,0.2,val'] * 2, 'lines 2 and 3'),
        ('msmi', ['1,1,dog,18,a,0.2,val,2'], "multi_instance '2'"),
        (
            'ms',
            ['1,1,dog,18,a,0.2,val', '1,2,cat,17,a,0.2,train'],
            "'000000000001' is of split 'val' in line 2 .*'train' in line 3",
        ),
    ],
)
def test_bad_rows_are_named(subset, rows, match):
    with pytest.raises(DatasetIndexError, match=match) as error:
        read(rows, subset)
    assert 'vpo.csv' in str(error.value)


@pytest.mark.parametrize('lacking', ['img_Id', 'vgg_file', 'split'])
def test_missing_columns_are_named(lacking):
    header = HEADER.replace(lacking, 'other')
    with pytest.raises(DatasetIndexError, match=f'column {lacking} is miss'):
        read(['1,1,dog,18,a,0.2,val'], header=header)


def test_msmi_needs_its_flag():
    with pytest.raises(DatasetIndexError, match='multi_instance is missing'):
        read_vpo_index(HEADER + '\n', 'vpo.csv', 'msmi')


# The re-organized form

CLEAN = 'uid,frame,mask,category,split,type\n'


def test_reorganised_rows_are_read():
    text = CLEAN + (
        'u,1.jpg,1.png,dog,train,VPO-SS\n'
        'u,frames/1.jpg,labels_semantic/1.png,dog,test,vpo_msmi\n'
    )
    assert read_reorganised_index(text, 'x.csv') == [
        VPOClip('u', '1.jpg', '1.png', 'VPO-SS', 'train'),
        VPOClip('u', '1.jpg', '1.png', 'VPO-MSMI', 'val'),
    ]


@pytest.mark.parametrize(
    ('row', 'match'),
    [
        ('u,1.jpg,1.png,dog,dev,ss', "split 'dev' and type 'ss'"),
        ('u,1.jpg,1.png,dog,val,vpo', "type 'vpo'"),
        ('..,1.jpg,1.png,dog,val,ss', "uid '..'"),
        ('u,,1.png,dog,val,ss', "frame ''"),
        ('u,1.jpg,x/,dog,val,ss', "mask ''"),
        ('a,1.jpg,1.png,dog,train,ss', 'stands in line 2 already'),
    ],
)
def test_bad_reorganised_rows_are_named(row, match):
    text = CLEAN + 'a,1.jpg,1.png,dog,val,ss\n' + row
    with pytest.raises(DatasetIndexError, match=f'x.csv, line 3: .*{match}'):
        read_reorganised_index(text, 'x.csv')


# What is held out

NAMES = st.lists(st.integers(0, 10_000).map(str), min_size=2, unique=True)


@given(NAMES, st.floats(0, 0.99), st.integers(0, 5), st.randoms())
def test_held_out_is_a_share_that_order_does_not_change(
    names, share, seed, random
):
    held_out = held_out_images(names, share, seed)
    assert held_out < set(names)
    assert abs(len(held_out) - share * len(names)) <= 1
    assert bool(held_out) == (share > 0)
    shuffled = [*names, *names]
    random.shuffle(shuffled)
    assert held_out_images(shuffled, share, seed) == held_out


def test_seeds_hold_out_other_images():
    names = [f'{i:012}' for i in range(1000)]
    first, second = (held_out_images(names, 0.1, seed) for seed in (0, 1))
    assert len(first) == len(second) == 100
    assert len(first & second) < 30


def test_order_depends_on_names_and_key_only():
    names = [f'n{i}' for i in range(30)]
    order = seeded_order(names, 0, 'a')
    assert sorted(order) == sorted(names)
    assert order == seeded_order(names[::-1] * 2, 0, 'a')
    assert order not in (names, seeded_order(names, 1, 'a'))
    assert order != seeded_order(names, 0, 'b')


def test_one_name_more_leaves_the_order_of_the_others():
    names = [f'n{i}' for i in range(30)]
    more = seeded_order([*names, 'new'], 0)
    assert [name for name in more if name != 'new'] == seeded_order(names, 0)

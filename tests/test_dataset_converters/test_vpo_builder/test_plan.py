import json
from collections import Counter, defaultdict
from dataclasses import replace

import pytest

from mmcpm.dataset_converters.vpo_builder.plan import make_plan
from mmcpm.datasets.errors import DatasetIndexError, DatasetNotFoundError


def test_samples_are_those_that_were_drawn(ingredients):
    plan = make_plan(ingredients.make())
    pictures = defaultdict(list)
    for sample in plan.samples:
        pictures[sample.subset].append(sample.picture.number)
    both = list(range(1, 13))
    # Dogs and cats of 1 to 12; the cat beside two dogs; a dog in a crowd or
    # beside another one is none of VPO-SS.
    assert pictures['ss'] == sorted(both * 2) + list(range(21, 33))
    assert pictures['ms'] == both
    assert pictures['msmi'] == list(range(21, 33))
    assert plan.pictures == 28
    # 41; the dogs and cats of 2 x 2 pixels in 42 and 44 (1 % are 32).
    assert plan.unusable['crowd'] == 1
    assert plan.unusable['small'] == 2
    assert plan.unusable['several'] == 24 + 1 + 1 + 2


def test_clips_take_turns(ingredients):
    plan = make_plan(ingredients.make())
    turns = defaultdict(Counter)
    for sample in plan.samples:
        together = [clip.name for _, clip in sample.sounds]
        assert len(together) == len(set(together))
        for instance, clip in sample.sounds:
            key = (sample.subset, sample.split, instance.class_name)
            turns[key][clip.name] += 1
            # Ten recordings: 'dog barking', 'dog howling', 'cat', 'thunder'.
            assert clip.label.startswith(instance.class_name)
    for (_, split, name), numbers in turns.items():
        assert len(numbers) <= plan.clips[split][name]
        if sum(numbers.values()) >= plan.clips[split][name]:
            assert len(numbers) == plan.clips[split][name]
            assert max(numbers.values()) - min(numbers.values()) <= 1
    # 30 % of five and of four recordings, rounded.
    assert plan.clips['val'] == {'dog': 2, 'cat': 1}


def test_one_set_is_the_same_whether_others_are_made(ingredients):
    whole = make_plan(ingredients.make()).samples
    for subset in ('ss', 'ms'):
        alone = make_plan(ingredients.make(subsets=(subset,))).samples
        assert alone == [s for s in whole if s.subset == subset]
    # The index of VPO-MSMI takes the pictures of VPO-MS in.
    alone = make_plan(ingredients.make(subsets=('msmi',))).samples
    assert alone == [s for s in whole if s.subset != 'ss']


def test_digest_tells_other_contents(ingredients, edit):
    parts = ingredients.make()
    first = make_plan(parts).digest
    assert make_plan(parts).digest == first
    assert make_plan(replace(parts, seconds=2.0)).digest != first
    assert make_plan(replace(parts, seed=5)).digest != first
    sound = ingredients.root / 'sounds/r0.wav'
    sound.write_bytes((ingredients.root / 'sounds/r9.wav').read_bytes())
    assert make_plan(parts).digest != first
    moved = [[4, 4, 12, 4, 12, 16, 4, 16]]
    sound = make_plan(parts).digest
    edit(lambda coco: coco['annotations'][0].update(segmentation=moved))
    assert make_plan(parts).digest != sound


def test_pictures_for_the_test_may_be_given(ingredients):
    root = ingredients.root
    content = json.loads((root / 'coco.json').read_text())
    tested = [image['id'] for image in content['images']][::2]
    for name, keep in (('train', False), ('test', True)):
        part = {'categories': content['categories']}
        for key, field in (('images', 'id'), ('annotations', 'image_id')):
            part[key] = [
                entry
                for entry in content[key]
                if (entry[field] in tested) == keep
            ]
        (root / f'{name}.json').write_text(json.dumps(part))
    parts = ingredients.make(
        annotations=root / 'train.json', test_annotations=root / 'test.json'
    )
    plan = make_plan(parts)
    for sample in plan.samples:
        expected = 'val' if sample.picture.number in tested else 'train'
        assert sample.split == expected
    same = replace(parts, test_annotations=root / 'coco.json')
    with pytest.raises(DatasetIndexError, match='14 pictures are in .*train'):
        make_plan(same)


def test_set_without_samples_is_refused(ingredients):
    with pytest.raises(DatasetIndexError) as caught:
        make_plan(ingredients.make(min_separation=0.9))
    for told in ('VPO-MSMI', 'of 28', '2 small', '0.9', 'leave this set out'):
        assert told in str(caught.value)
    make_plan(ingredients.make(min_separation=0.9, subsets=('ss', 'ms')))


def test_missing_folder_of_pictures_is_named(ingredients):
    with pytest.raises(DatasetNotFoundError, match='No folder .*gone'):
        make_plan(ingredients.make(images=ingredients.root / 'gone'))


def test_map_of_classes_decides_what_sounds(ingredients):
    path = ingredients.root / 'map.json'
    moped = {'class': 'motorcycle', 'recordings': ['cat']}
    path.write_text(json.dumps({'Dog': 'dog barking', 'person': moped}))
    plan = make_plan(ingredients.make(class_map=path, subsets=('ms',)))
    heard = {
        (instance.class_name, clip.label)
        for sample in plan.samples
        for instance, clip in sample.sounds
    }
    assert heard == {('dog', 'dog barking'), ('motorcycle', 'cat')}

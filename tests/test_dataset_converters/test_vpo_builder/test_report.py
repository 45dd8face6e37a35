from mmcpm.dataset_converters.vpo_builder.plan import make_plan
from mmcpm.dataset_converters.vpo_builder.report import (
    count_balance,
    describe_balance,
)


def test_counts_are_those_of_the_samples(ingredients):
    plan = make_plan(ingredients.make())
    counts = count_balance(plan)
    assert list(counts) == ['ss', 'ms', 'msmi']
    for subset, classes in counts.items():
        assert sorted(classes) == ['cat', 'dog']
        for name, of in classes.items():
            for told, split in (('train', 'train'), ('test', 'val')):
                heard = [
                    (sample.picture.number, clip.name)
                    for sample in plan.samples
                    for instance, clip in sample.sounds
                    if (sample.subset, sample.split) == (subset, split)
                    and instance.class_name == name
                ]
                assert of[told] == {
                    'pictures': len({number for number, _ in heard}),
                    'objects': len(heard),
                    'clips': len({clip for _, clip in heard}),
                }
    # Of 12 pictures with a dog and a cat, 24 have a cat alone of its kind.
    cat, dog = (counts['ss'][name] for name in ('cat', 'dog'))
    assert cat['train']['objects'] + cat['test']['objects'] == 24
    assert dog['train']['objects'] + dog['test']['objects'] == 12


def test_tables_tell_shares_and_what_is_lacking(ingredients):
    plan = make_plan(ingredients.make())
    told = describe_balance(plan)
    rows = {
        line.split('|')[1].strip(): line.split('|')[-2].strip()
        for line in told.partition('VPO-MS:')[0].splitlines()
        if line.startswith('|')
    }
    counts = count_balance(plan)['ss']
    number = {name: of['train']['objects'] for name, of in counts.items()}
    share = 100 * number['cat'] / (number['cat'] + number['dog'])
    assert rows['cat'] == f'{share:.1f} %'
    ratio = number['cat'] / number['dog']
    assert f'has {ratio:.1f} times the training' in told
    assert 'Clips of recordings: 6 for train, 3 for test; none in' in told
    assert '1 crowds, 2 too small' in told
    without = [
        sample
        for sample in plan.samples
        if (sample.subset, sample.split) != ('ss', 'val')
        or sample.sounds[0][0].class_name == 'cat'
    ]
    told = describe_balance(plan._replace(samples=without))
    assert 'never heard in test: dog' in told

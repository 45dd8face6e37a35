"""Report on the balance of a planned dataset between its classes."""

from collections import defaultdict

from prettytable import PrettyTable

from mmcpm.datasets.metadata.vpo import TEST, TRAIN
from mmcpm.datasets.vpo import SUBSETS

from .plan import Plan

# The files of VPO call the test 'val'.
SPLIT_NAMES = {TRAIN: 'train', TEST: 'test'}
KINDS = ('pictures', 'objects', 'clips')


def count_balance(plan: Plan) -> dict:
    """Count what each folder of the dataset holds.

    Args:
        plan (Plan): The dataset.

    Returns:
        dict: Numbers of ``pictures``, sounding ``objects`` and different
        ``clips``, by subset, class and split ('train', 'test').
    """
    held = defaultdict(set)
    for sample in plan.samples:
        for instance, clip in sample.sounds:
            key = (sample.subset, instance.class_name, sample.split)
            held[*key, 'pictures'].add(sample.picture.number)
            held[*key, 'objects'].add((sample.picture.number, instance.number))
            held[*key, 'clips'].add(clip.name)
    names = sorted(set(plan.classes.class_of.values()))
    return {
        subset: {
            name: {
                told: {
                    kind: len(held[subset, name, split, kind])
                    for kind in KINDS
                }
                for split, told in SPLIT_NAMES.items()
            }
            for name in names
        }
        for subset in SUBSETS
        if any(sample.subset == subset for sample in plan.samples)
    }


def describe_balance(plan: Plan) -> str:
    """Write the balance as tables, with what a user should know of it."""
    lines = []
    for subset, classes in count_balance(plan).items():
        lines += _describe_set(plan, subset, classes)
    clips = [
        f'{sum(plan.clips[split].values())} for {told}'
        for split, told in SPLIT_NAMES.items()
    ]
    lines.append(f'Clips of recordings: {", ".join(clips)}; none in both.')
    reasons = {
        'crowd': 'crowds',
        'small': 'too small',
        'several': 'not the only one of their class (VPO-MSMI at most)',
    }
    told = [f'{plan.unusable[key]} {text}' for key, text in reasons.items()]
    lines.append(f'Objects left out: {", ".join(told)}.')
    return '\n'.join(lines)


def _describe_set(plan: Plan, subset: str, classes: dict) -> list[str]:
    """Write the table of a set and what is amiss with it.

    Sounding objects and different clips; the share is of the training
    objects.
    """
    numbers = {
        told: sum((s.subset, s.split) == (subset, split) for s in plan.samples)
        for split, told in SPLIT_NAMES.items()
    }
    beside = ' (beside those of VPO-MS)' if subset == 'msmi' else ''
    lines = [
        f'VPO-{subset.upper()}: {numbers["train"]} samples for training, '
        f'{numbers["test"]} for the test{beside}'
    ]
    kinds = [(told, k) for told in SPLIT_NAMES.values() for k in KINDS[1:]]
    header = [' '.join(kind) for kind in kinds]
    table = PrettyTable(['class', *header, 'train share'])
    table.align = 'r'
    table.align['class'] = 'l'
    total = sum(of['train']['objects'] for of in classes.values())
    for name, of in classes.items():
        cells = [of[told][kind] for told, kind in kinds]
        share = of['train']['objects'] / max(total, 1)
        table.add_row([name, *cells, f'{100 * share:.1f} %'])
    lines.append(table.get_string())
    for told in SPLIT_NAMES.values():
        lacking = [n for n, of in classes.items() if not of[told]['objects']]
        if lacking:
            lines.append(f'  never heard in {told}: {", ".join(lacking)}')
    heard = [n for of in classes.values() if (n := of['train']['objects'])]
    if len(heard) > 1:
        ratio = max(heard) / min(heard)
        lines.append(
            f'  the most frequent class has {ratio:.1f} times the training '
            'objects of the rarest'
        )
    return lines

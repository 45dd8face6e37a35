import itertools

import pytest

from mmcpm.models.decode_heads.cpm_head_cfg import check_parts

PART = dict(type='Any')
NAMES = ('classifier', 'prompts', 'loss_vcp', 'loss_acp', 'loss_pcl')


def meaningful(classifier, source, vcp, acp, pcl):
    """The rules, one by one; ``source`` is None without prompts."""
    if pcl and not acp:
        return False
    if (vcp or acp or pcl) != (source is not None):
        return False
    return source in (None, 'table') or classifier


@pytest.mark.parametrize('source', [None, 'gmm', 'mean', 'table'])
def test_every_combination(source):
    allowed = 0
    for used in itertools.product([True, False], repeat=4):
        classifier, *losses = used
        prompts = None if source is None else dict(PART, source=source)
        arguments = [
            PART if classifier else None,
            prompts,
            *(PART if loss else None for loss in losses),
        ]
        if meaningful(classifier, source, *losses):
            assert check_parts(*arguments) is None
            allowed += 1
        else:
            with pytest.raises(ValueError):
                check_parts(*arguments)
    # Of the losses vcp, acp, vcp + acp, acp + pcl and all three.
    assert allowed == {None: 2, 'table': 10}.get(source, 5)


def test_prompts_are_of_mixtures_unless_told_otherwise():
    check_parts(PART, PART, PART, None, None)
    with pytest.raises(ValueError, match='GMMClassifier'):
        check_parts(None, PART, PART, None, None)


@pytest.mark.parametrize(
    'used,reason',
    [
        (('prompts', 'loss_vcp', 'loss_pcl'), 'loss_pcl pools.*Set loss_acp'),
        (('loss_acp', 'loss_pcl'), 'loss_acp, loss_pcl need prompts'),
        (('loss_vcp',), 'loss_vcp need prompts'),
        (('prompts',), 'teach nothing'),
    ],
)
def test_reasons(used, reason):
    arguments = [PART if name in used else None for name in NAMES]
    arguments[0] = PART
    with pytest.raises(ValueError, match=reason):
        check_parts(*arguments)


def test_mixtures_need_a_use():
    arguments = [PART if name != 'loss_pcl' else None for name in NAMES]
    check_parts(*arguments, mixtures_classify=False)
    arguments[1] = dict(PART, source='table')
    with pytest.raises(ValueError, match='mixtures_classify=False'):
        check_parts(*arguments, mixtures_classify=False)
    nothing = [PART, None, None, None, None]
    with pytest.raises(ValueError, match='mixtures_classify=False'):
        check_parts(*nothing, mixtures_classify=False)

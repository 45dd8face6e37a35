"""Which components of CPM mean something together."""


def check_combination(
    classifier: dict | None,
    prompts: dict | None,
    loss_vcp: dict | None,
    loss_acp: dict | None,
    loss_pcl: dict | None,
    mixtures_classify: bool = True,
) -> None:
    """Refuse combinations of components that mean nothing.

    Raises:
        ValueError: Says which, and why.
    """
    losses = {
        'loss_vcp': loss_vcp,
        'loss_acp': loss_acp,
        'loss_pcl': loss_pcl,
    }
    used = [name for name, loss in losses.items() if loss]
    if loss_pcl and not loss_acp:
        raise ValueError(
            'loss_pcl pools the audio under the masks that loss_acp teaches; '
            'without loss_acp they are random. Set loss_acp too.'
        )
    if used and prompts is None:
        raise ValueError(
            f'{", ".join(used)} need prompts, but prompts is None. Set '
            "prompts=dict(type='ClassPrompts')."
        )
    if prompts is not None and not used:
        raise ValueError(
            'prompts without loss_vcp or loss_acp teach nothing. Set a loss, '
            'or prompts=None.'
        )
    source = (prompts or {}).get('source', 'gmm')
    if prompts is not None and source != 'table' and classifier is None:
        raise ValueError(
            f'prompts.source={source!r} draws from the mixtures of a '
            'GMMClassifier, but classifier is None (linear). Set '
            "prompts.source='table' or a classifier."
        )
    drawn = prompts is not None and source != 'table'
    if not mixtures_classify and not drawn:
        raise ValueError(
            'mixtures_classify=False leaves the mixtures to the prompts, but '
            "no prompt is drawn from them. Set prompts.source='gmm', or leave "
            'mixtures_classify out.'
        )

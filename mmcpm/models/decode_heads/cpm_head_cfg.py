"""Which parts of CPMHead go together."""

LABEL_SOURCES = ('full', 'crop')
ACP_EMBEDDINGS = ('final', 'td_a')
NO_MIXTURE = (
    'loss_acp of CPMHead needs the features of mixtures of sounds, which the '
    "segmentor makes: set model.type='CPMEncoderDecoder' (configs written "
    "before it existed have 'AVEncoderDecoder'), or loss_acp=None and "
    'loss_pcl=None.'
)


def check_parts(
    classifier: dict | None,
    prompts: dict | None,
    loss_vcp: dict | None,
    loss_acp: dict | None,
    loss_pcl: dict | None,
    mixtures_classify: bool = True,
) -> None:
    """Refuse combinations of components that mean nothing.

    Args:
        classifier (dict, optional): See CPMHead, as all of them.
        prompts (dict, optional): The prompts.
        loss_vcp (dict, optional): Equation (6).
        loss_acp (dict, optional): Equation (5).
        loss_pcl (dict, optional): Equations (7) to (9).
        mixtures_classify (bool): Whether the mixtures classify the queries.

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
            'loss_pcl pools the audio under the masks that loss_acp '
            'teaches; without loss_acp they are random. Set loss_acp too.'
        )
    if used and prompts is None:
        raise ValueError(
            f'{", ".join(used)} need prompts, but prompts is None. Set '
            "prompts=dict(type='ClassPrompts')."
        )
    if prompts is not None and not used:
        raise ValueError(
            'prompts without loss_vcp or loss_acp teach nothing. Set a '
            'loss, or prompts=None.'
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
            'mixtures_classify=False leaves the mixtures to the prompts, '
            "but no prompt is drawn from them. Set prompts.source='gmm', "
            'or leave mixtures_classify out.'
        )


def check_switches(label_source: str, acp_embedding: str) -> None:
    """Refuse unknown values.

    Args:
        label_source (str): One of :data:`LABEL_SOURCES`.
        acp_embedding (str): One of :data:`ACP_EMBEDDINGS`.

    Raises:
        ValueError: Names the switch and its values.
    """
    for name, value, accepted in (
        ('label_source', label_source, LABEL_SOURCES),
        ('acp_embedding', acp_embedding, ACP_EMBEDDINGS),
    ):
        if value not in accepted:
            raise ValueError(
                f'{name} must be one of {accepted}, but got {value!r}.'
            )

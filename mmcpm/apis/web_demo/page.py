"""The web page itself, made of Gradio's components."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from .jobs import MUTE, SOLO, SWAP, Jobs, Result
from .limits import check_clip, shown_name
from .messages import page_error, told
from .session_files import SessionFiles
from .style import PLAY_BOTH

# Jobs that wait; more visitors are asked to come back.
LONGEST_QUEUE = 8
# Seconds after which files go that a visitor left open.
FILE_AGE = 3600
FASTEST = 8
QUEUE = 'model'
# Of what a camera offers; more pixels than this would be refused.
CAMERA = {'video': {'width': {'ideal': 640}, 'height': {'ideal': 480}}}
CHANGES = {
    'Mute: silence': MUTE,
    'Solo: one source alone': SOLO,
    "Swap: another clip's sound": SWAP,
}
INTRODUCTION = """# What sounds in this clip?
Upload or record a clip: the model ({model}) paints over what sounds, and
names it. It knows {classes}. This page takes {limits}; uploads stay on the
machine that runs it, and are deleted when you leave (an open page: after an
hour)."""
COMPARISON = """### Does it depend on the sound?
The same frames with another sound: what the model paints should follow the
sound, not the picture."""
SOLO_NOTE = """*Solo* separates the source with the model's own ratio masks,
where the model finds it. They are as good as the model is: expect remains of
other sounds."""
SOLO_MISSING = '*Solo* is not offered: {reason}.'


def build_page(
    jobs: Jobs,
    files: SessionFiles,
    samples: Sequence[str | Path] = (),
    fps: float = 4.0,
    model: str = 'CPM',
) -> gr.Blocks:
    """Build the page.

    Args:
        jobs (Jobs): Does the work.
        files (SessionFiles): Keeps the files.
        samples (Sequence[str | Path]): Clips that can be chosen.
        fps (float): Predictions per second to begin with.
        model (str): Name of the model.

    Returns:
        gr.Blocks: To be launched with :func:`.launch.launch_options`.
    """
    own_line, other_line = 'avs-own', 'avs-other'
    no_solo = jobs.no_solo
    changes = [
        (text, kind)
        for text, kind in CHANGES.items()
        if not (kind == SOLO and no_solo)
    ]

    def arrive(clip: str | None, request: gr.Request) -> None:
        files.own(request.session_hash, clip)
        if clip:
            told(check_clip, clip, jobs.limits)

    def segment(
        clip: str | None, rate: float, last: dict, request: gr.Request
    ) -> tuple:
        session = request.session_hash
        files.own(session, clip)
        result = told(jobs.segment, clip, _bounded(rate))
        # Of the clip before this one.
        gone = [p for p in last.get('files', []) if p not in (clip, None)]
        files.drop(session, *gone) if gone else None
        files.own(session, result.video)
        names = list(result.classes.values())
        state = {
            'clip': clip,
            'result': result,
            'files': [clip, result.video],
        }
        return (
            result.video,
            jobs.line(result, own_line),
            _tell_notes(result),
            state,
            gr.update(choices=names, value=names[0] if names else None),
            gr.update(visible=True),
            gr.update(value=None, label='With another sound'),
            '',
            '',
        )

    def compare(
        state: dict,
        change: str,
        source: str | None,
        other: str | None,
        rate: float,
        request: gr.Request,
    ) -> tuple:
        if 'clip' not in state:
            raise page_error('find what sounds in a clip first')
        session = request.session_hash
        files.own(session, other)
        result = told(
            jobs.compare,
            state['clip'],
            state['result'],
            change,
            _bounded(rate),
            source=source,
            other=other,
        )
        files.own(session, result.video)
        state['files'] += [result.video, other]
        return (
            gr.update(value=result.video, label=_label(change, source, other)),
            jobs.line(result, other_line),
            _tell_notes(result),
        )

    def leave(request: gr.Request) -> None:
        files.drop(request.session_hash)

    def show_inputs(change: str) -> tuple:
        return (
            gr.update(visible=change == SOLO),
            gr.update(visible=change == SWAP),
        )

    with gr.Blocks(
        title='What sounds in this clip?',
        analytics_enabled=False,
        delete_cache=(60, FILE_AGE),
    ) as page:
        state = gr.State({})
        known = ', '.join(jobs.classes[1:6])
        more = len(jobs.classes) - 6
        gr.Markdown(
            INTRODUCTION.format(
                model=model,
                limits=jobs.limits.tell(),
                classes=known + (f' and {more} more classes' * (more > 0)),
            )
        )
        with gr.Row(elem_classes='avs-two'):
            with gr.Column():
                clip = gr.Video(
                    label='Clip',
                    sources=['upload', 'webcam'],
                    include_audio=True,
                    webcam_options=gr.WebcamOptions(
                        mirror=False, constraints=CAMERA
                    ),
                    elem_id='avs-clip',
                )
            with gr.Column():
                _add_samples('No clip at hand? Take one:', samples, clip)
                rate = gr.Slider(
                    1,
                    FASTEST,
                    value=min(max(fps, 1), FASTEST),
                    step=1,
                    label='Predictions per second',
                )
                start = gr.Button(
                    'Find what sounds', variant='primary', elem_id='avs-start'
                )
        with gr.Row(elem_classes='avs-two', visible=False) as results:
            with gr.Column():
                own_video = _player('With its own sound', own_line)
                own_html = gr.HTML()
                own_notes = gr.Markdown()
            with gr.Column():
                other_video = _player('With another sound', other_line)
                other_html = gr.HTML()
                other_notes = gr.Markdown()
        with gr.Column(visible=False) as second:
            gr.Markdown(COMPARISON)
            with gr.Row(elem_classes='avs-two'):
                with gr.Column():
                    change = gr.Radio(
                        changes,
                        value=MUTE,
                        label='Replace the sound',
                        elem_id='avs-change',
                    )
                with gr.Column():
                    source = gr.Dropdown(
                        [], label='Source that sounds alone', visible=False
                    )
                    with gr.Column(visible=False) as swap:
                        other = gr.File(
                            label='Second clip, or a sound',
                            file_types=['video', 'audio'],
                            height=160,
                        )
                        _add_samples('Or that of:', samples, other)
            with gr.Row(elem_classes='avs-two'):
                again = gr.Button(
                    'Compare', variant='primary', elem_id='avs-again'
                )
                gr.Button("Play both, with the right one's sound").click(
                    None, js=PLAY_BOTH, api_name=False
                )
            gr.Markdown(
                SOLO_MISSING.format(reason=no_solo) if no_solo else SOLO_NOTE
            )

        outputs = [
            own_video, own_html, own_notes, state, source, second,
            other_video, other_html, other_notes,
        ]  # fmt: skip
        one = {'concurrency_id': QUEUE, 'concurrency_limit': 1}
        clip.upload(arrive, clip, api_name=False)
        # The player shows the place in the queue, and how long it takes.
        start.click(
            lambda: gr.update(visible=True),
            None,
            results,
            api_name=False,
            queue=False,
        ).then(
            segment,
            [clip, rate, state],
            outputs,
            api_name='segment',
            show_progress_on=own_video,
            **one,
        )
        again.click(
            compare,
            [state, change, source, other, rate],
            [other_video, other_html, other_notes],
            api_name='compare',
            show_progress_on=other_video,
            **one,
        )
        change.change(
            show_inputs, change, [source, swap], api_name=False, queue=False
        )
        page.unload(leave)
    page.queue(max_size=LONGEST_QUEUE, default_concurrency_limit=1)
    return page


def _player(label: str, name: str) -> gr.Video:
    """A player of results."""
    return gr.Video(label=label, interactive=False, height=340, elem_id=name)


def _add_samples(
    text: str, samples: Sequence[str | Path], target: gr.components.Component
) -> None:
    """Add a button per sample, which puts it into a component."""
    if not samples:
        return
    gr.Markdown(text)
    with gr.Row():
        for sample in samples:
            name = Path(sample).stem.replace('_', ', ')
            gr.Button(name, size='sm', min_width=90).click(
                lambda path=str(sample): path,
                None,
                target,
                api_name=False,
                queue=False,
            )


def _bounded(rate: float) -> float:
    """Predictions per second, whatever a request asks for."""
    return min(max(float(rate), 1.0), float(FASTEST))


def _tell_notes(result: Result) -> str:
    """Notes of a result as Markdown, as plain as they are."""
    return '\n'.join(
        '- ' + note.replace('<', '&lt;').replace('`', "'")
        for note in result.notes
    )


def _label(change: str, source: str | None, other: str | None) -> str:
    """Say which sound a comparison has."""
    return {
        MUTE: 'With silence',
        SOLO: f'With {source} alone',
        SWAP: f'With the sound of {shown_name(other or "")}',
    }[change]

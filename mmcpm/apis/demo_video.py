"""What tools/demo_video.py does."""

import sys
from argparse import Namespace
from pathlib import Path

from mmcpm.utils.errors import UsageError, reported
from mmcpm.video.video_reader import VideoReader

from . import options
from .av_inferencer import AVSInferencer
from .clip_predictor import check_rates
from .clips import OWN
from .model_loading import resolve_config
from .video_inference import segment_video
from .video_outputs import Outputs, VideoSummary


def run(args: Namespace) -> VideoSummary:
    """Segment a video as told by the arguments of tools/demo_video.py.

    Args:
        args (Namespace): The parsed arguments.

    Returns:
        VideoSummary: What was done.

    Raises:
        SystemExit: With code 2 and a message, if something is wrong; 130
            after Ctrl-C.
    """
    with reported('demo_video.py'):
        outputs = Outputs(
            args.out or f'{Path(args.video).stem}_avs.mp4',
            args.json,
            args.masks,
            args.pictures,
        )
        check_rates(args.batch_size, args.fps)
        if not 0 <= args.opacity <= 1:
            raise UsageError(f'--opacity must be 0 to 1, not {args.opacity}')
        if Path(outputs.video).resolve() == Path(args.video).resolve():
            raise UsageError(
                f'--out {outputs.video} is the video itself. Choose another '
                'name'
            )
        outputs.check()
        source = make_input(args)
        if 'video' in source:
            # A model takes longer to load than a mistake to find.
            VideoReader(args.video).close()
        cfg, _ = resolve_config(args.config)
        options.apply_cfg_options(cfg, args.cfg_options)
        inferencer = AVSInferencer(
            cfg, args.checkpoint, args.device, audio_step=args.audio_step
        )
        summary = segment_video(
            inferencer,
            source,
            outputs,
            batch_size=args.batch_size,
            fps=args.fps,
            alpha=args.opacity,
            legend=not args.no_legend,
        )
        for note in summary.notes:
            print(f'note: {note}', file=sys.stderr)
        print(summary.tell())
        for path in summary.files:
            print(path)
    return summary


def make_input(args: Namespace) -> dict:
    """Describe the video, or the folder of frames, for an inferencer.

    Args:
        args (Namespace): The parsed arguments.

    Returns:
        dict: Input of :class:`AVSInferencer`.

    Raises:
        UsageError: If a folder comes without a sound.
    """
    if not Path(args.video).is_dir():
        return {
            'video': args.video,
            'sound': args.sound,
            'audio_track': args.audio_track,
        }
    if args.sound == OWN:
        raise UsageError(
            f'{args.video} is a folder of frames: name its sound with '
            '--sound FILE (or --sound silence)'
        )
    return {
        'frames': args.video,
        'sound': args.sound,
        'rate': args.frame_rate,
    }

"""The sounds under which a model is tested."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """A sound that frames are given.

    Attributes:
        name (str): Key of the report, such as 'noise_0dB'.
        title (str): For people.
        settings (dict[str, Any] | None): Of CounterfactualAudioDataset; None:
            the true sound.
        negative (bool): Whether nothing in view is heard, so that nothing is
            to be segmented.
    """

    name: str
    title: str
    settings: dict[str, Any] | None
    negative: bool = False


TRUE = 'true'
# What is shown beside the true sound.
SHOWN = ('silence', 'noise', 'offscreen', 'swapped')


def build_variants(
    snrs: Sequence[float] = (),
    shifts: Sequence[float] = (),
    folder: str | None = None,
    seed: int = 0,
) -> list[Variant]:
    """List the sounds of a report.

    Args:
        snrs (Sequence[float]): Levels of the true sound above noise, in dB.
        shifts (Sequence[float]): Seconds by which the sound is later.
        folder (str, optional): Recordings of what is not in view.
        seed (int): Seed of noise and partners.

    Returns:
        list[Variant]: The true sound first. Silence, noise and off-screen
        sounds alone are the negative ones of AVSBench-Robust.
    """
    recordings = {} if folder is None else {'folder': folder}
    drawn = {'seed': seed}
    noise = [
        Variant(
            f'noise_{snr:g}dB',
            f'noise at {snr:g} dB',
            {'sound': 'noise', 'snr': snr, **drawn},
        )
        for snr in sorted(set(snrs), reverse=True)
    ]
    shifted = [
        Variant(
            f'shifted_{shift:+g}s',
            f'{abs(shift):g} s {"later" if shift > 0 else "earlier"}',
            {'sound': 'shifted', 'seconds': shift},
        )
        for shift in sorted(set(shifts))
    ]
    return [
        Variant(TRUE, 'true sound', None),
        Variant('silence', 'silence', {'sound': 'silence'}, True),
        Variant('noise', 'noise alone', {'sound': 'noise', **drawn}, True),
        Variant(
            'offscreen',
            'off-screen sound alone',
            {'sound': 'offscreen', **recordings, **drawn},
            True,
        ),
        Variant(
            'swapped',
            "another clip's sound",
            {'sound': 'swapped', **drawn},
        ),
        Variant(
            'offscreen_0dB',
            'off-screen sound at 0 dB',
            {'sound': 'offscreen', 'snr': 0.0, **recordings, **drawn},
        ),
        *noise,
        *shifted,
        Variant(
            'exchanged', 'left and right exchanged', {'sound': 'exchanged'}
        ),
    ]

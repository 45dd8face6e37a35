import torch

from mmcpm.structures.av_prediction import AVPrediction, join_windows


def test_extras_are_what_is_set():
    scores, classes = torch.zeros(2, 3, 4, 4), torch.ones(2, 5)
    assert AVPrediction(scores).extras() == {}
    extras = AVPrediction(scores, query_classes=classes).extras()
    assert extras == {'query_classes': classes}


def test_windows_share_the_audio():
    """Queries are named once per window, audio queries once."""
    scores = torch.zeros(2, 3, 8, 8)
    audio = torch.tensor([[1, 2], [2, 1]])
    windows = [
        AVPrediction(scores[..., :4], audio, torch.full((2, 2), window))
        for window in (5, 6, 7)
    ]
    joined = join_windows(scores, [window.extras() for window in windows])
    assert joined.scores is scores
    assert torch.equal(joined.audio_query_classes, audio)
    assert joined.query_classes.tolist() == [[5, 5, 6, 6, 7, 7]] * 2
    assert join_windows(scores, [{}, {}]) == AVPrediction(scores)

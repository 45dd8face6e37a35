# python tools/test.py CONFIG CHECKPOINT --tta: class scores averaged over
# scales and mirrored frames, whose stereo channels are swapped with them. A
# dataset puts the steps of its test_pipeline before: they load the label and
# set the size that is scored, and the view that shows the frame as it is
# keeps both.
tta_model = dict(type='AVSegTTAModel')
tta_pipeline = [
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=factor, keep_ratio=True)
                for factor in (1.0, 0.75, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=prob, direction='horizontal')
                for prob in (0.0, 1.0)
            ],
            [dict(type='SwapStereoOnFlip')],
            [dict(type='PackAVSInputs')],
        ],
    )
]

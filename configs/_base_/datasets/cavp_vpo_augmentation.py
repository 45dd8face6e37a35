# How CAVP augments VPO: some factors of a frame's size, bicubic, and colors,
# in place of the `rescale` and `distort` of the datasets.
cavp_rescale = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='Resize', scale_factor=factor, interpolation='bicubic')]
        for factor in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    ],
)
# torchvision's ColorJitter(0.5, 0.5, 0.5, 0.25), as far as mmseg has it.
cavp_distort = dict(
    type='PhotoMetricDistortion',
    brightness_delta=64,
    contrast_range=(0.5, 1.5),
    saturation_range=(0.5, 1.5),
    hue_delta=45,
)

# Start-up: all three causes together, which collapses the class means.
_base_ = ['./scenes_ccdm_class_variance.py']

model = dict(
    decode_head=dict(
        classifier=dict(
            first_update='assign',
            momentum=0.99,
            momentum_schedule='growing',
            sparse_variance=False,
        )
    )
)

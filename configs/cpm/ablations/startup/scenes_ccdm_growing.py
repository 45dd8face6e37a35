# Start-up: means follow their members fast (momentum 0.1 growing to 0.99).
_base_ = ['./scenes_ccdm_class_variance.py']

model = dict(
    decode_head=dict(
        classifier=dict(momentum=0.99, momentum_schedule='growing')
    )
)

# What S4 and MS3 ask of TPAVI: background and foreground share one logit. A
# config merges it by: model = dict(decode_head=_base_.tpavi_binary)
tpavi_binary = dict(
    num_classes=2,
    single_logit=True,
    audio_bias=True,
    loss_decode=dict(use_sigmoid=True),
)

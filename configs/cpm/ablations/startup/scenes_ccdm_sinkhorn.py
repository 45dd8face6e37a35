# E-step with equal shares, as in GMMSeg.
_base_ = ['./scenes_ccdm_class_variance.py']

model = dict(decode_head=dict(classifier=dict(estep='sinkhorn')))

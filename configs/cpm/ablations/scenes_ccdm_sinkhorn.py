# E-step with equal shares, as in GMMSeg.
_base_ = ['./scenes_ccdm.py']

model = dict(decode_head=dict(classifier=dict(estep='sinkhorn')))

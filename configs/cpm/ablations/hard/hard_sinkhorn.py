# Reading of equation (3): equal shares, as in GMMSeg.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(classifier=dict(estep='sinkhorn')))

# Figure 6: lambda = 0.3.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(cpm_weight=0.3))

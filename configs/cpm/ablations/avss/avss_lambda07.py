# Figure 6: lambda = 0.7.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(cpm_weight=0.7))

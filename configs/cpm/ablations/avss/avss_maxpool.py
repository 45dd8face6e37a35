# Supplement: maximum instead of average pooling in PCL.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(loss_pcl=dict(pooling='max')))

# Table 5: points represent the classes, a linear layer classifies.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(classifier=None, prompts=dict(source='table')))

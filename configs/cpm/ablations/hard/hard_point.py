# Table 5: points represent the classes, a linear layer classifies.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(classifier=None, prompts=dict(source='table')))

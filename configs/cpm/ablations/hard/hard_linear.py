# Not of the paper: a linear layer classifies, the mixtures follow the queries
# and give the prompts.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(mixtures_classify=False))

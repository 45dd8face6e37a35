# Reading of equation (5): the norm of the formula, not the mean of squares.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(loss_acp=dict(reduction='norm')))

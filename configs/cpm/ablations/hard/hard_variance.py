# Prompts drawn with the variance of the densities: while means are far from
# their members, that is mostly their distance to them.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(classifier=dict(sampling='variance')))

# Prompts are means of the mixtures, without noise.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(prompts=dict(source='mean')))

# Reading of Section 3.1, test: one query per pixel, as in the formula.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(inference_mode='argmax'))

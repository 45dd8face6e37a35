# Table 5: seven Gaussians per class.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(classifier=dict(num_components=7)))

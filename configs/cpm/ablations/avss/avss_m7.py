# Table 5: seven Gaussians per class.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(classifier=dict(num_components=7)))

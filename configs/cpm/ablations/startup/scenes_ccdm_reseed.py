# Start-up: components without members are put on one at once.
_base_ = ['./scenes_ccdm_class_variance.py']

model = dict(decode_head=dict(classifier=dict(reseeding='assign')))

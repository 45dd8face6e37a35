# Start-up: the first update of a class replaces its random prototypes.
_base_ = ['./scenes_ccdm_class_variance.py']

model = dict(decode_head=dict(classifier=dict(first_update='assign')))

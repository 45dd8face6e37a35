# Start-up: a component with fewer than two members keeps its variance.
_base_ = ['./scenes_ccdm.py']

model = dict(decode_head=dict(classifier=dict(sparse_variance=False)))

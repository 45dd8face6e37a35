# Start-up: a component with fewer than two members takes its class's variance.
_base_ = ['./scenes_ccdm.py']

model = dict(decode_head=dict(classifier=dict(sparse_variance=True)))

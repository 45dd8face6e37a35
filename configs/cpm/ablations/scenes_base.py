# Start-up: the rule of the other rows, a linear classifier.
_base_ = ['../cpm_base_r18_scenes.py']

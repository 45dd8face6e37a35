# Start-up: the rule of the other rows, a linear classifier.
_base_ = ['../../../avmask2former/avmask2former_r18_scenes.py']

# Table 4, row 1: learned queries and a linear classifier only.
_base_ = ['../cpm_base_r18_scenes_hard.py']

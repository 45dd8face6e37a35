# Table 4, row 6: CPM in full.
_base_ = ['../../cpm_r18_scenes_hard.py']

# Table 4, row 5: CCDM, visual and audio prompting.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(loss_pcl=None))

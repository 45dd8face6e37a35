# Table 4, row 3: CCDM and visual prompting.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(loss_acp=None, loss_pcl=None))

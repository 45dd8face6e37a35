# Table 4, row 4: CCDM and audio prompting.
_base_ = ['../../cpm_r50_avss.py']

model = dict(decode_head=dict(loss_vcp=None, loss_pcl=None))

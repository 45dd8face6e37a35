# Table 4, row 2: the mixtures classify (CCDM); no prompts.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(
    decode_head=dict(prompts=None, loss_vcp=None, loss_acp=None, loss_pcl=None)
)

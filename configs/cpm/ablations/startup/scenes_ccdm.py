# Start-up: the default; the mixtures classify, no prompts (preset demo).
_base_ = ['../../cpm_r18_scenes.py']

model = dict(
    decode_head=dict(prompts=None, loss_vcp=None, loss_acp=None, loss_pcl=None)
)

# Reading of equation (5): audio masks of the prompts as they are after the
# audio decoder.
_base_ = ['../../cpm_r18_scenes_hard.py']

model = dict(decode_head=dict(acp_embedding='td_a'))

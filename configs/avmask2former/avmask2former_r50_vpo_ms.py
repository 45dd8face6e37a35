# Audio-first Mask2Former on VPO-MS at the original resolution, stereo
# (Table 3).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/vpo_ms.py',
    '../_base_/models/avmask2former_r50.py',
    '../_base_/models/vpo_audio.py',
    '../_base_/schedules/adamw_poly_100e.py',
]

model = _base_.vpo_audio

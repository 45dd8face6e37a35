# CPM on sounding scenes in the layout of VPO-SS: three seconds in stereo.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/scenes_vpo_ss.py',
    '../_base_/models/cpm_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes.py',
]

model = dict(
    audio_frontend=dict(num_frames=300),
    audio_backbone=dict(in_channels=2),
)

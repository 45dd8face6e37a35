# CPM on sounding scenes in the layout of VPO-MSMI: three seconds in stereo.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/scenes_vpo_msmi.py',
    '../_base_/models/cpm_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes.py',
]

# A spectrum every 60 ms: three seconds cost a CPU half of what one does.
model = dict(
    audio_frontend=dict(win_length=512, hop_length=960, num_frames=48),
    audio_backbone=dict(in_channels=2),
    # Two objects that look alike differ only in their place.
    decode_head=dict(mask_position=True),
)

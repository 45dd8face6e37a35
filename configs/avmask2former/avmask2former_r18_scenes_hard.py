# The baseline of cpm_r18_scenes_hard.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_hard.py',
    '../_base_/models/avmask2former_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes.py',
]

# A spectrum every 20 ms: the audio is most of the cost on a CPU.
model = dict(
    audio_frontend=dict(hop_length=320, num_frames=48),
    decode_head=dict(num_classes=13),
)

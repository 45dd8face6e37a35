# Audio-first Mask2Former on sounding scenes, small enough to learn on a CPU
# in minutes: 2,916 labeled training frames, batch 8, 365 iterations per
# epoch. From scratch, hence one higher rate for all parts.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo.py',
    '../_base_/models/avmask2former_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]

# A spectrum every 20 ms: half of the audio backbone's work.
model = dict(audio_frontend=dict(hop_length=320, num_frames=48))

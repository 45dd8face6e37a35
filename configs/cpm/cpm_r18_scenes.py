# CPM in full on sounding scenes; avmask2former_r18_scenes is its baseline.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/sounding_scenes_demo.py',
    '../_base_/models/cpm_r18_tiny.py',
    '../_base_/schedules/adamw_poly_scenes_2e.py',
]

# A spectrum every 20 ms: half of the audio backbone's work.
model = dict(audio_frontend=dict(hop_length=320, num_frames=48))

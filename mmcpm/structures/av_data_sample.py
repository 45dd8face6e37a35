"""What the data sample of a frame holds: every field and every meta key.

Samples are mmseg's ``SegDataSample``. Fields are data: they move to the
device with the sample, and test-time augmentation and windows keep them. Meta
information stays as it is.
"""

# Data fields, each with who writes it. Of a batch, every sample has its own.
DATA_FIELDS = {
    'gt_sem_seg': 'label map, int64 [1, H, W], 255 where nothing is labeled; '
    'PackAVSInputs',
    'audio': 'waveform around the frame, float32 [channels, samples]; '
    'PackAVSInputs',
    'offscreen_audio': 'waveform of a sound that is not in view, as `audio`; '
    'PackAVSInputs, after LoadOffscreenAudio',
    'maskige': 'picture of mask proposals, uint8 [3, H, W] as the image; '
    'PackMaskigeInputs, after LoadMaskige',
    'pred_sem_seg': 'predicted label map, int64 [1, H, W]; the segmentor',
    'seg_logits': 'scores of the classes, [classes, H, W]; the segmentor',
    'audio_query_classes': 'see AVPrediction, [N]; the segmentor',
    'query_classes': 'see AVPrediction, [N], or of W windows [W * N]; the '
    'segmentor',
    'query_scores': 'see AVPrediction, [N]; the segmentor',
    'query_masks': 'see AVPrediction, [N, h, w]; the segmentor',
}

# Meta keys that mmseg's transforms, data preprocessor and segmentors use.
MMSEG_META_KEYS = {
    'img_path': 'file of the frame',
    'seg_map_path': 'file of the label map',
    'ori_shape': 'height and width of the frame as it is stored',
    'img_shape': 'the same after the pipeline',
    'pad_shape': 'the same after padding to the size of the batch',
    'scale_factor': 'by which width and height were resized',
    'flip': 'whether the frame was mirrored (stereo channels then change)',
    'flip_direction': "'horizontal', 'vertical' or 'diagonal'",
    'reduce_zero_label': 'False: 0 is the background, a class of its own',
}

# Meta keys of the audio-visual datasets; a dataset leaves out what it lacks.
AV_META_KEYS = {
    'sample_id': 'name of the frame in files and messages: <clip>/<frame>',
    'uid': 'name of the clip; sounds of one clip are never mixed',
    'frame_index': 'number of the frame in its clip, from 0',
    'clip_length': 'T, where a batch is whole clips of T frames in order; '
    '1 without it; ClipDataset and inferencers write this and the next two',
    'frame_valid': 'False of what only fills up a clip of fewer than T '
    'frames: black, silent, never scored; True without it',
    'labeled': 'False where the label map says nothing, 255 everywhere: it '
    'enters no loss and no score; True without it',
    'subset': "AVSBench-Semantic: 'v1s', 'v1m' or 'v2'",
    'sources': "AVSBench-Semantic: one ('ss') or more ('ms') sounding "
    'objects; VPO: name of the recording and position of each',
    'sound_sources': 'names of what sounds; two frames with a name in common '
    'are never mixed',
    'audio_labels': 'class ids that sound, of the frame before any crop; '
    'missing where the labels cannot tell',
    'audio_valid_samples': 'samples of `audio` that are not padding',
    'sample_rate': 'of `audio`, Hz',
}

# Always written: metrics compare it with the size of the prediction.
LABEL_SHAPE = 'label_shape'

# In this order, what PackAVSInputs keeps unless told otherwise.
META_KEYS = (*MMSEG_META_KEYS, *AV_META_KEYS)

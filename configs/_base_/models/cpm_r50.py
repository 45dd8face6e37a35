# CPM in full (Section 3.2 of the paper) at the paper's sizes: three
# components, tau 0.1, lambda 0.5.
_base_ = ['./avmask2former_r50.py']

model = dict(
    type='CPMEncoderDecoder',
    decode_head=dict(
        type='CPMHead',
        classifier=dict(type='GMMClassifier', num_components=3),
        prompts=dict(type='ClassPrompts', source='gmm', max_prompts=8),
        loss_vcp=dict(type='FixedAssignmentMaskLoss'),
        loss_acp=dict(type='RatioMaskLoss'),
        loss_pcl=dict(type='PromptContrastiveLoss', temperature=0.1),
        cpm_weight=0.5,
    ),
)

# The baseline trained on silence. Tested on silence (mIoU_silence), it
# cannot do better than the vision-only ceiling unless looks leak who sounds.
_base_ = ['../../../avmask2former/avmask2former_r18_scenes_hard.py']

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CounterfactualAudioDataset',
        sound='silence',
        dataset={{_base_.train_dataloader.dataset}},
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CounterfactualAudioDataset',
        sound='silence',
        dataset={{_base_.val_dataloader.dataset}},
    )
)

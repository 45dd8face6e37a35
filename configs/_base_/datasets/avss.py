# AVSBench-Semantic at original resolution: the protocol of the CPM paper's
# Tables 2, 4 and 5 (Sections 4.3 and 4.5). Training sees one random labeled
# frame of each of the 8,498 clips per epoch, 532 iterations of 16; testing
# scores every labeled frame at its own size.
_base_ = './avs_default.py'
dataset_type = 'AVSBenchSemanticDataset'
data_root = 'data/AVSBench-Semantic'
dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

"""Writes small tfds sets as other programs would, without TensorFlow, for the tests of the reader."""

import pathlib

import tensorflow_datasets as tfds
from array_record.python import array_record_module


def write(folder, name, features, examples, shards=2):
    """Writes FOLDER/NAME/1.0.0 with one split, train; returns that folder."""
    whole = pathlib.Path(folder) / name / '1.0.0'
    whole.mkdir(parents=True)
    kinds = tfds.features.FeaturesDict(features)
    template = tfds.core.ShardedFileTemplate(
        data_dir=whole, dataset_name=name, split='train', filetype_suffix='array_record'
    )
    lengths = []
    for shard in range(shards):
        own = examples[shard * len(examples) // shards : (shard + 1) * len(examples) // shards]
        path = whole / f'{name}-train.array_record-{shard:05d}-of-{shards:05d}'
        writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
        for example in own:
            writer.write(kinds.serialize_example(kinds.encode_example(example)))
        writer.close()
        lengths.append(len(own))
    tfds.folder_dataset.write_metadata(
        data_dir=whole,
        features=kinds,
        split_infos=[
            tfds.core.SplitInfo(
                name='train', shard_lengths=lengths, num_bytes=1, filename_template=template
            )
        ],
        version='1.0.0',
        filename_template=template,
        check_data=False,
    )
    return whole

"""The messages of Caffe's files, made when first needed: those fields of caffe.proto that a trained network uses.

Names and numbers are Caffe's own, of the present format ("layer") and of that of 2014 ("layers", called V1), in which
the ZF and VGG networks were published. Fields that are not listed are skipped when a file is read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from zfcuda.models.checkpoints.errors import WeightsError

# Packed floats look the same in the file as bytes. Read as bytes they are an array at once; as floats each of the
# 138 million of VGG16 would become a Python object.
_MESSAGES = {
    "BlobShape": "repeated int64 dim = 1",
    "BlobProto": """
        optional int32 num = 1
        optional int32 channels = 2
        optional int32 height = 3
        optional int32 width = 4
        repeated bytes data = 5
        optional BlobShape shape = 7
        repeated bytes double_data = 8""",
    "NetStateRule": "optional Phase phase = 1",
    "NetParameter": """
        optional string name = 1
        repeated V1LayerParameter layers = 2
        repeated string input = 3
        repeated int32 input_dim = 4
        repeated BlobShape input_shape = 8
        repeated LayerParameter layer = 100""",
    "LayerParameter": """
        optional string name = 1
        optional string type = 2
        repeated string bottom = 3
        repeated string top = 4
        repeated BlobProto blobs = 7
        repeated NetStateRule include = 8
        repeated NetStateRule exclude = 9
        optional ConcatParameter concat_param = 104
        optional ConvolutionParameter convolution_param = 106
        optional DropoutParameter dropout_param = 108
        optional EltwiseParameter eltwise_param = 110
        optional InnerProductParameter inner_product_param = 117
        optional LRNParameter lrn_param = 118
        optional PoolingParameter pooling_param = 121
        optional ReLUParameter relu_param = 123
        optional SoftmaxParameter softmax_param = 125
        optional FlattenParameter flatten_param = 135
        optional BatchNormParameter batch_norm_param = 139
        optional ScaleParameter scale_param = 142
        optional InputParameter input_param = 143""",
    "V1LayerParameter": """
        repeated string bottom = 2
        repeated string top = 3
        optional string name = 4
        optional V1LayerType type = 5
        repeated BlobProto blobs = 6
        optional ConcatParameter concat_param = 9
        optional ConvolutionParameter convolution_param = 10
        optional DropoutParameter dropout_param = 12
        optional InnerProductParameter inner_product_param = 17
        optional LRNParameter lrn_param = 18
        optional PoolingParameter pooling_param = 19
        optional EltwiseParameter eltwise_param = 24
        optional ReLUParameter relu_param = 30
        repeated NetStateRule include = 32
        repeated NetStateRule exclude = 33
        optional SoftmaxParameter softmax_param = 39""",
    "BatchNormParameter": "optional float eps = 3 [1e-5]",
    "ConcatParameter": """
        optional uint32 concat_dim = 1 [1]
        optional int32 axis = 2 [1]""",
    "ConvolutionParameter": """
        optional uint32 num_output = 1
        optional bool bias_term = 2 [true]
        repeated uint32 pad = 3
        repeated uint32 kernel_size = 4
        optional uint32 group = 5 [1]
        repeated uint32 stride = 6
        optional uint32 pad_h = 9
        optional uint32 pad_w = 10
        optional uint32 kernel_h = 11
        optional uint32 kernel_w = 12
        optional uint32 stride_h = 13
        optional uint32 stride_w = 14
        optional int32 axis = 16 [1]
        repeated uint32 dilation = 18""",
    "DropoutParameter": "optional float dropout_ratio = 1 [0.5]",
    "EltwiseParameter": """
        optional EltwiseOp operation = 1 [SUM]
        repeated float coeff = 2""",
    "FlattenParameter": """
        optional int32 axis = 1 [1]
        optional int32 end_axis = 2 [-1]""",
    "InnerProductParameter": """
        optional uint32 num_output = 1
        optional bool bias_term = 2 [true]
        optional int32 axis = 5 [1]
        optional bool transpose = 6""",
    "InputParameter": "repeated BlobShape shape = 1",
    "LRNParameter": """
        optional uint32 local_size = 1 [5]
        optional float alpha = 2 [1]
        optional float beta = 3 [0.75]
        optional NormRegion norm_region = 4 [ACROSS_CHANNELS]
        optional float k = 5 [1]""",
    "PoolingParameter": """
        optional PoolMethod pool = 1 [MAX]
        optional uint32 kernel_size = 2
        optional uint32 stride = 3 [1]
        optional uint32 pad = 4
        optional uint32 kernel_h = 5
        optional uint32 kernel_w = 6
        optional uint32 stride_h = 7
        optional uint32 stride_w = 8
        optional uint32 pad_h = 9
        optional uint32 pad_w = 10
        optional bool global_pooling = 12
        optional RoundMode round_mode = 13 [CEIL]""",
    "ReLUParameter": "optional float negative_slope = 1",
    "ScaleParameter": """
        optional int32 axis = 1 [1]
        optional int32 num_axes = 2 [1]
        optional bool bias_term = 4""",
    "SoftmaxParameter": "optional int32 axis = 2 [1]",
}

# The values stand in the order of their numbers, from 0.
_ENUMS: dict[str, tuple[str, ...]] = {
    "Phase": ("TRAIN", "TEST"),
    "EltwiseOp": ("PROD", "SUM", "MAX"),
    "NormRegion": ("ACROSS_CHANNELS", "WITHIN_CHANNEL"),
    "PoolMethod": ("MAX", "AVE", "STOCHASTIC"),
    "RoundMode": ("CEIL", "FLOOR"),
    "V1LayerType": (
        "NONE",
        "ACCURACY",
        "BNLL",
        "CONCAT",
        "CONVOLUTION",
        "DATA",
        "DROPOUT",
        "EUCLIDEAN_LOSS",
        "FLATTEN",
        "HDF5_DATA",
        "HDF5_OUTPUT",
        "IM2COL",
        "IMAGE_DATA",
        "INFOGAIN_LOSS",
        "INNER_PRODUCT",
        "LRN",
        "MULTINOMIAL_LOGISTIC_LOSS",
        "POOLING",
        "RELU",
        "SIGMOID",
        "SOFTMAX",
        "SOFTMAX_LOSS",
        "SPLIT",
        "TANH",
        "WINDOW_DATA",
        "ELTWISE",
        "POWER",
        "SIGMOID_CROSS_ENTROPY_LOSS",
        "HINGE_LOSS",
        "MEMORY_DATA",
        "ARGMAX",
        "THRESHOLD",
        "DUMMY_DATA",
        "SLICE",
        "MVN",
        "ABSVAL",
        "SILENCE",
        "CONTRASTIVE_LOSS",
        "EXP",
        "DECONVOLUTION",
    ),
}

_FIELD = re.compile(r"(optional|repeated) (\w+) (\w+) = (\d+)(?: \[(.+)\])?")


def from_text(kind: str, text: str) -> Any:
    """A message in protobuf's text format, as in a prototxt.

    Raises:
        ValueError: the text is no such message; the error says where.
        WeightsError: protobuf is not installed.
    """
    _need_protobuf()
    from google.protobuf import text_format  # type: ignore[import-untyped]

    message = messages()[kind]()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
    except text_format.ParseError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return message


def from_bytes(kind: str, data: bytes) -> Any:
    """A message in protobuf's binary format, as in a caffemodel.

    Raises:
        ValueError: the data is no such message.
        WeightsError: protobuf is not installed.
    """
    _need_protobuf()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    message = messages()[kind]()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:  # protobuf without its compiled part
        raise ValueError("nested too deeply") from None
    return message


def _need_protobuf() -> None:
    try:
        import google.protobuf  # type: ignore[import-untyped]  # noqa: F401
    except ImportError:
        raise WeightsError("Caffe's files need the package protobuf: pip install protobuf") from None


@lru_cache(maxsize=1)
def messages() -> dict[str, Any]:
    """The message classes by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

    file = descriptor_pb2.FileDescriptorProto(name="zfcuda/caffe.proto", package="zfcuda.caffe", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto
    for enum, names in _ENUMS.items():
        # A message around each: the values of all enumerations of a file share one space of names.
        made = file.message_type.add(name=f"{enum}s").enum_type.add(name=enum)
        for i, value in enumerate(names):
            made.value.add(name=value, number=i)
    for message, text in _MESSAGES.items():
        target = file.message_type.add(name=message)
        for line in text.strip().splitlines():
            match = _FIELD.fullmatch(line.strip())
            assert match is not None, line
            label, kind, field_name, number, default = match.groups()
            field = target.field.add(name=field_name, number=int(number))
            field.label = kinds.LABEL_REPEATED if label == "repeated" else kinds.LABEL_OPTIONAL
            if kind in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{file.package}.{kind}"
            elif kind in _ENUMS:
                field.type, field.type_name = kinds.TYPE_ENUM, f".{file.package}.{kind}s.{kind}"
            else:
                field.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if default is not None:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }

"""Which `.keras` files are plain data: layers and weights, nothing that names code or files.

A `.keras` file names the classes that its model is made of. Keras' own safe mode refuses lambdas,
and has been got round more than once by configurations that name other functions of Keras, so what
a file may name is listed here. What is not listed is not refused for good: it needs trust.
Source: https://nvd.nist.gov/vuln/detail/CVE-2025-1550, https://nvd.nist.gov/vuln/detail/CVE-2025-8747
"""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = "config.json"
_MEMBERS = frozenset({"metadata.json", _CONFIG, "model.weights.h5"})
_CONFIG_SIZE = 64 << 20  # configurations are kilobytes; more is meant to fill the memory

# Layers that only compute. Left out: those that hold code (Lambda), wrap another framework's
# program (TFSMLayer, JaxLayer, FlaxLayer, TorchModuleWrapper) or take a path to read
# (StringLookup, IntegerLookup, TextVectorization), and image augmentation.
_LAYERS = """
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional
    CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense
    DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU
    GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization
    LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention
    Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling Reshape
    Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
    TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
"""
_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer
    LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform
    TruncatedNormal VarianceScaling Zeros
"""
_OPTIMIZERS = """
    Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Muon Nadam
    RMSprop SGD
"""
_SCHEDULES = """
    CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay
    PolynomialDecay
"""
_LOSSES = """
    BinaryCrossentropy BinaryFocalCrossentropy CTC CategoricalCrossentropy
    CategoricalFocalCrossentropy CategoricalHinge CosineSimilarity Dice Hinge Huber KLDivergence
    LogCosh MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError
    MeanSquaredLogarithmicError Poisson SparseCategoricalCrossentropy SquaredHinge Tversky
"""
_METRICS = """
    AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryIoU CategoricalAccuracy
    CategoricalCrossentropy CategoricalHinge CosineSimilarity F1Score FBetaScore FalseNegatives
    FalsePositives Hinge IoU KLDivergence LogCoshError Mean MeanAbsoluteError
    MeanAbsolutePercentageError MeanIoU MeanSquaredError MeanSquaredLogarithmicError OneHotIoU
    OneHotMeanIoU Poisson Precision PrecisionAtRecall R2Score Recall RecallAtPrecision
    RootMeanSquaredError SensitivityAtSpecificity SparseCategoricalAccuracy
    SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SpecificityAtSensitivity
    SquaredHinge Sum TopKCategoricalAccuracy TrueNegatives TruePositives
"""
# module → the classes in it that a plain file may name
_PLAIN: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "keras": "DTypePolicy Functional Model Sequential",
        "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
        "keras.initializers": _INITIALIZERS,
        "keras.layers": _LAYERS,
        "keras.losses": _LOSSES,
        "keras.metrics": _METRICS,
        "keras.optimizers": _OPTIMIZERS,
        "keras.optimizers.schedules": _SCHEDULES,
        "keras.regularizers": "L1 L1L2 L2 OrthogonalRegularizer",
        "keras.src.models.functional": "Functional",
        "keras.src.models.sequential": "Sequential",
        "keras.src.ops.numpy": "Absolute Add Divide Maximum Mean Minimum Multiply Negative Power "
        "Sqrt Square Subtract Sum TrueDivide",
    }.items()
}
_VALUES = frozenset({"__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"})


def objection(archive: Path) -> str | None:
    """Say why a `.keras` file is more than plain data; None when it is that.

    Raises: ValueError, KeyError and zipfile.BadZipFile when it is no such file.
    """
    with zipfile.ZipFile(archive) as opened:
        members = set(opened.namelist())
        if extra := sorted(members - _MEMBERS):
            return f"brings files of its own ({', '.join(extra[:3])})"
        if opened.getinfo(_CONFIG).file_size > _CONFIG_SIZE:
            raise ValueError("its configuration is too large")
        config = json.loads(opened.read(_CONFIG))
    for named in _named(config):
        module, name = named.get("module"), named["class_name"]
        if isinstance(name, str) and module is None and name in _VALUES:
            continue
        if not isinstance(module, str) or name not in _PLAIN.get(module, ()):
            return f"names {name!r} of {module!r}"
    return None


def _named(value: Any) -> Iterator[dict[str, Any]]:  # Any: a JSON value
    """Give every part of a configuration that names a class, at whatever depth."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            pending += part.values()
        elif isinstance(part, list):
            pending += part

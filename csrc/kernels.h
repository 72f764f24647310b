// What each backend provides. Arguments were checked, outputs allocated, and all tensors of a call are contiguous in
// one memory format (channels_last or not) by zfcuda.cpp. The list stands once, in kernels.inl: a backend that defines
// a kernel with other arguments does not compile, and one that lacks a kernel does not link.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "patches.h"
#include "window.h"

namespace zfcuda {

using at::Tensor;

namespace cpu {

struct Kernels {
#include "kernels.inl"
};

const char* instruction_set();  // "avx512", "avx2" or "baseline": what runs on this processor

}  // namespace cpu

#ifdef ZFCUDA_WITH_CUDA
namespace cuda {

struct Kernels {
#include "kernels.inl"
};

bool runs_on(int64_t device);  // whether kernels were compiled for this GPU's architecture

}  // namespace cuda
#endif

}  // namespace zfcuda

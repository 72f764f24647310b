// The functions that each backend provides. Arguments were checked, outputs allocated, and all tensors of a call are
// contiguous in one memory format (channels_last or not) by zfcuda.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "patches.h"
#include "window.h"

namespace zfcuda {

using at::Tensor;

#define ZFCUDA_DECLARE_KERNELS                                                                                          \
  void max_pool(const Tensor& input, const Pooling&, bool relu, bool channels_last, Tensor& output, Tensor& switches);  \
  void max_unpool(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling&, bool channels_last,  \
                  Tensor& output);                                                                                      \
  void gather_by_switch(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling&,                \
                        bool channels_last, Tensor& output);                                                            \
  void lrn(const Tensor& input, const Norm&, bool channels_last, Tensor& output);                                       \
  void lrn_backward(const Tensor& grad, const Tensor& input, const Norm&, bool channels_last, Tensor& output);          \
  void relu_max_pool_lrn(const Tensor& input, const Pooling&, const Norm&, bool channels_last, Tensor& output,          \
                         Tensor& switches, Tensor* pooled);                                                             \
  void occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, int64_t window_rows,                     \
               int64_t window_columns, bool channels_last, Tensor& output);                                             \
  /* base is channels_last, the others are contiguous; have and want are not checked, as a GPU cannot in time. */       \
  void gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, double fill,   \
                      Tensor& output);                                                                                  \
  void unfold_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, const Side& y, \
                      const Side& x, Tensor& output);                                                                   \
  void pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, const Side& y,   \
                    const Side& x, bool sum, Tensor& output);

namespace cpu {
ZFCUDA_DECLARE_KERNELS
const char* instruction_set();  // "avx512", "avx2" or "baseline": what runs on this processor
}  // namespace cpu

#ifdef ZFCUDA_WITH_CUDA
namespace cuda {
ZFCUDA_DECLARE_KERNELS
bool runs_on(int64_t device);  // whether kernels were compiled for this GPU's architecture
}  // namespace cuda
#endif

#undef ZFCUDA_DECLARE_KERNELS

}  // namespace zfcuda

// What one pooling window is: sizes, the inputs that it reads, the outputs that an input touches. Host and device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define ZFCUDA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ZFCUDA_HOST_DEVICE inline
#endif

namespace zfcuda {

// One dimension of a pooling: `outputs` windows of `kernel` elements over `inputs` elements.
struct Axis {
  int64_t inputs, outputs, kernel, stride, padding;

  // First input of window o; negative in the padding.
  ZFCUDA_HOST_DEVICE int64_t start(int64_t o) const { return o * stride - padding; }

  // The offsets [first, last) of window o that lie inside the picture.
  ZFCUDA_HOST_DEVICE int64_t first_offset(int64_t o) const { return start(o) < 0 ? -start(o) : 0; }
  ZFCUDA_HOST_DEVICE int64_t last_offset(int64_t o) const {
    return inputs - start(o) < kernel ? inputs - start(o) : kernel;
  }

  // The windows [first, last) that read input i.
  ZFCUDA_HOST_DEVICE int64_t first_window(int64_t i) const {
    const int64_t reach = i + padding - kernel + 1;
    return reach <= 0 ? 0 : (reach + stride - 1) / stride;
  }
  ZFCUDA_HOST_DEVICE int64_t last_window(int64_t i) const {
    const int64_t past = (i + padding) / stride + 1;
    return past < outputs ? past : outputs;
  }
};

// A pooling of `planes` = N * C pictures; `channels` = C.
struct Pooling {
  int64_t batch, channels;
  Axis y, x;
};

// Local response normalisation: x / (k + scale * sum of squares over `before` + 1 + `after` channels) ^ beta.
struct Norm {
  int64_t size, before, after;
  double scale, beta, k;  // scale = alpha / size
};

}  // namespace zfcuda

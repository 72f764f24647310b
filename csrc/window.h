// What one pooling window is: sizes, the inputs that it reads, the outputs that an input touches. Host and device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define ZFCUDA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ZFCUDA_HOST_DEVICE inline
#endif

namespace zfcuda {

// One dimension of a pooling: `outputs` windows of `kernel` elements over `inputs` elements. I: the index type; on a GPU 32 bits
// where they are enough, since dividing 64 takes many times as long.
template <class I>
struct AxisOf {
  I inputs, outputs, kernel, stride, padding;

  // First input of window o; negative in the padding.
  ZFCUDA_HOST_DEVICE I start(I o) const { return o * stride - padding; }

  // The offsets [first, last) of window o that lie inside the picture.
  ZFCUDA_HOST_DEVICE I first_offset(I o) const { return start(o) < 0 ? -start(o) : 0; }
  ZFCUDA_HOST_DEVICE I last_offset(I o) const { return inputs - start(o) < kernel ? inputs - start(o) : kernel; }

  // The windows [first, last) that read input i.
  ZFCUDA_HOST_DEVICE I first_window(I i) const {
    const I reach = i + padding - kernel + 1;
    return reach <= 0 ? 0 : (reach + stride - 1) / stride;
  }
  ZFCUDA_HOST_DEVICE I last_window(I i) const {
    const I past = (i + padding) / stride + 1;
    return past < outputs ? past : outputs;
  }

  template <class J>
  AxisOf<J> as() const {
    return {static_cast<J>(inputs), static_cast<J>(outputs), static_cast<J>(kernel), static_cast<J>(stride),
            static_cast<J>(padding)};
  }
};

template <class I>
struct PoolingOf {
  I batch, channels;
  AxisOf<I> y, x;

  template <class J>
  PoolingOf<J> as() const {
    return {static_cast<J>(batch), static_cast<J>(channels), y.template as<J>(), x.template as<J>()};
  }
};

using Axis = AxisOf<int64_t>;
using Pooling = PoolingOf<int64_t>;

// Local response normalisation: x / (k + scale * sum of squares over size = `before` + 1 + `after` channels) ^ beta.
struct Norm {
  int64_t size, before, after;
  double scale, beta, k;  // scale = alpha / the size asked for, which may be more than there are channels
};

}  // namespace zfcuda

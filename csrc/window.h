// What one window is: sizes, the inputs that it reads, the outputs that an input touches. Host and device.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define ZFCUDA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ZFCUDA_HOST_DEVICE inline
#endif

namespace zfcuda {

// One dimension of a layer of windows: `outputs` windows of `kernel` elements, `dilation` apart, over `inputs`
// elements. I: the index type; on a GPU 32 bits where they are enough, since dividing 64 takes many times as long.
template <class I>
struct WindowAxisOf {
  I inputs, outputs, kernel, stride, padding, dilation;

  // How far a window reaches, from its first element to behind its last.
  ZFCUDA_HOST_DEVICE I reach() const { return dilation * (kernel - 1) + 1; }

  // The input that window o reads at `tap`; unsigned, so that it wraps around whatever o is, and is below `inputs` if
  // inside.
  ZFCUDA_HOST_DEVICE uint64_t input(I o, I tap) const {
    return static_cast<uint64_t>(o) * static_cast<uint64_t>(stride) + static_cast<uint64_t>(tap * dilation) -
           static_cast<uint64_t>(padding);
  }

  // What follows holds without dilation, which pooling with switches does not have.

  // First input of window o; negative in the padding.
  ZFCUDA_HOST_DEVICE I start(I o) const { return o * stride - padding; }

  // The offsets [first, last) of window o that lie inside the image.
  ZFCUDA_HOST_DEVICE I first_offset(I o) const { return start(o) < 0 ? -start(o) : 0; }
  ZFCUDA_HOST_DEVICE I last_offset(I o) const { return inputs - start(o) < kernel ? inputs - start(o) : kernel; }

  // The windows [first, last) that read input i.
  ZFCUDA_HOST_DEVICE I first_window(I i) const {
    const I first = i + padding - kernel + 1;
    return first <= 0 ? 0 : (first + stride - 1) / stride;
  }
  ZFCUDA_HOST_DEVICE I last_window(I i) const {
    const I past = (i + padding) / stride + 1;
    return past < outputs ? past : outputs;
  }

  template <class J>
  WindowAxisOf<J> as() const {
    return {static_cast<J>(inputs), static_cast<J>(outputs), static_cast<J>(kernel),
            static_cast<J>(stride), static_cast<J>(padding), static_cast<J>(dilation)};
  }
};

template <class I>
struct PoolingOf {
  I batch, channels;
  WindowAxisOf<I> y, x;

  template <class J>
  PoolingOf<J> as() const {
    return {static_cast<J>(batch), static_cast<J>(channels), y.template as<J>(), x.template as<J>()};
  }
};

using WindowAxis = WindowAxisOf<int64_t>;
using Pooling = PoolingOf<int64_t>;

// Local response normalisation: x / (k + scale * sum of squares over size = `before` + 1 + `after` channels) ^ beta.
struct Norm {
  int64_t size, before, after;
  double scale, beta, k;  // scale = alpha / the size asked for, which may be more than there are channels
};

}  // namespace zfcuda

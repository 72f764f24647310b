// Normalisation over five channels of NCHW, the forward and the backward kernel's common part. A thread: some
// neighbouring pixels of an image, P of them, along a chunk of channels; the channels that are still needed stay in
// registers. The next thread: the next pixels.
#pragma once

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"

namespace zfcuda::cuda {

struct Walks {
  int channels, area, chunk;  // chunk: channels of a thread
  Divider<int> pixels, chunks;

  static Walks of(const at::Tensor& t, int64_t pack) {
    const int64_t channels = t.size(1), area = t.size(2) * t.size(3);
    const int64_t chunk = chunk_of_channels(t.size(0) * area / pack, channels), chunks = (channels + chunk - 1) / chunk;
    return {static_cast<int>(channels), static_cast<int>(area), static_cast<int>(chunk),
            Divider<int>(static_cast<int>(area / pack)), Divider<int>(static_cast<int>(chunks))};
  }
  int64_t threads(int64_t batch) const {
    return batch * static_cast<int64_t>(pixels.divisor()) * static_cast<int64_t>(chunks.divisor());
  }
  // Where the pixels of thread i begin in its image's first channel, and which channels it has, [first, last).
  ZFCUDA_HOST_DEVICE int64_t start(int i, int pack, int& first, int& last) const {
    const int pixel = take(i, pixels) * pack;
    first = take(i, chunks) * chunk;
    last = channels - first < chunk ? channels : first + chunk;
    return static_cast<int64_t>(i) * channels * area + pixel;
  }
};

template <class V, int P>
struct Numbers {
  V of[P];
};

// Channel c of the pixels that begin at x; zeros where it is not one of [from, to).
template <int P, class T>
ZFCUDA_HOST_DEVICE Numbers<Number<T>, P> channel(const T* x, int c, int from, int to, int area) {
  Numbers<Number<T>, P> numbers{};
  if (c >= from && c < to) {
    const auto values = read<P>(x + static_cast<int64_t>(c) * area);
    ZFCUDA_UNROLL
    for (int p = 0; p < P; ++p) numbers.of[p] = static_cast<Number<T>>(values.of[p]);
  }
  return numbers;
}

}  // namespace zfcuda::cuda

// Local response normalisation on the GPU: one kernel for every case first, then the fast ones.
#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"
#include "cuda/lrn_walk.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

// ---------------------------------------------------------------- any size, exponent and layout
// A thread computes one element.

template <class T, class I>
struct Forward {
  using V = Number<T>;
  const T* input;
  T* output;
  Channels<I> channels;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(I e) const {
    const V squares = squares_around(input, e, channels.of(e), channels.count, channels.step, norm);
    output[e] = static_cast<T>(normalised(static_cast<V>(input[e]), squares, norm));
  }
};

// ---------------------------------------------------------------- five channels, NCHW
// A thread: P neighbouring pixels of an image along a chunk of channels, see lrn_walk.cuh.

template <class T, int P>
struct ForwardWalk {
  using V = Number<T>;
  static constexpr int kStep = P > 4 ? 2 : 4;  // channels whose loads are in flight together
  const T* input;
  T* output;
  Walks walks;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    int first, last;
    const int64_t start = walks.start(i, P, first, last);
    const T* from = opaque(input + start);
    T* to = opaque(output + start);
    const int begin = first < kSide ? 0 : first - kSide;
    const int end = walks.channels - last < kSide ? walks.channels : last + kSide;
    Numbers<V, P> x[2 * kSide + kStep] = {};  // channels c - 2 .. c + kStep + 1
    // Along the channels, some at a time; the first steps only fill the registers.
    for (int c = first - 2 * kSide; c < last; c += kStep) {
      // Phase 1: the next channels are read.
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) x[2 * kSide + u] = channel<P>(from, c + kSide + u, begin, end, walks.area);
      // Phase 2: those in the middle of five are normalised.
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) {
        if (c + u < first || c + u >= last) continue;
        Pack<T, P> result;
        ZFCUDA_UNROLL
        for (int p = 0; p < P; ++p) {
          const V squares = squares_of_five<V>([&](int j) { return x[u + j].of[p]; });
          result.of[p] = static_cast<T>(normalised_by_five(x[u + kSide].of[p], squares, norm));
        }
        write(to + static_cast<int64_t>(c + u) * walks.area, result);
      }
      // Phase 3: the registers move on.
      ZFCUDA_UNROLL
      for (int j = 0; j < 2 * kSide; ++j) x[j] = x[j + kStep];
    }
  }
};

// ---------------------------------------------------------------- five channels, channels_last
// A thread: packs of 16 bytes, each with the channels beside it, which are in the cache.

template <class T>
struct ForwardPacks {
  using V = Number<T>;
  static constexpr int N = kPack<T>, kTogether = 2;  // packs of a thread
  const T* input;
  T* output;
  int channels, count, half;  // count: of packs; half of it, rounded up
  Divider<int> packs;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    V x[kTogether][N + 2 * kSide];
    ZFCUDA_UNROLL
    for (int t = 0; t < kTogether; ++t) {
      const int pack = i + t * half < count ? i + t * half : i;
      int pixel = pack;
      const int c = take(pixel, packs) * N;
      neighbours<1, N>(input + static_cast<int64_t>(pack) * N, c, channels, x[t]);
    }
    ZFCUDA_UNROLL
    for (int t = 0; t < kTogether; ++t) {
      Pack<T, N> result;
      ZFCUDA_UNROLL
      for (int n = 0; n < N; ++n) {
        const V squares = squares_of_five<V>([&](int j) { return x[t][n + j]; });
        result.of[n] = static_cast<T>(normalised_by_five(x[t][n + kSide], squares, norm));
      }
      if (i + t * half < count) write(output + static_cast<int64_t>(i + t * half) * N, result);
    }
  }
};

}  // namespace

void Kernels::lrn(const Tensor& input, const Norm& norm, bool channels_last, Tensor& output) {
  if (output.numel() == 0) return;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const T* from = input.const_data_ptr<T>();
    T* to = output.mutable_data_ptr<T>();
    const Settings<Number<T>> settings(norm);
    const bool done = with_usual<T>(input, to, norm, channels_last, [&](auto way) {
      constexpr int P = decltype(way)::value;
      if constexpr (P == 0) {
        const int channels = static_cast<int>(input.size(1)), count = static_cast<int>(input.numel() / kPack<T>);
        const int half = (count + 1) / 2;
        each<int>(half, input,
                  ForwardPacks<T>{from, to, channels, count, half, Divider<int>(channels / kPack<T>), settings});
      } else {
        const Walks walks = Walks::of(input, P);
        each<int>(static_cast<int>(walks.threads(input.size(0))), input, ForwardWalk<T, P>{from, to, walks, settings});
      }
    });
    if (done) return;
    with_channels(input, channels_last, [&](auto index, auto channels) {
      using I = decltype(index);
      each<I>(static_cast<I>(input.numel()), input, Forward<T, I>{from, to, channels, settings});
    });
  });
}

}  // namespace zfcuda::cuda

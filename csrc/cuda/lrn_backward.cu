// The gradient of local response normalisation on the GPU: one kernel for every case first, then the fast ones. Each
// output's gradient has two parts (lrn.inl): what only its own input gets, and what all inputs of its neighbourhood
// share.
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
struct Backward {
  using V = Number<T>;
  const T* grad;
  const T* input;
  T* output;
  Channels<I> channels;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(I e) const {
    const I c = channels.of(e);
    // The outputs whose neighbourhood this input is in: `after` channels before it to `before` behind it.
    const I from = c < norm.after ? -c : -norm.after;
    const I to = channels.count - 1 - c < norm.before ? channels.count - 1 - c : norm.before;
    with_exponent(norm.exponent, [&](auto exponent) {
      V own = 0, sum = 0;
      for (I j = from; j <= to; ++j) {
        const I at = e + j * channels.step;
        V mine, shared;
        lrn_backward_parts<decltype(exponent)::value>(
            static_cast<V>(grad[at]), static_cast<V>(input[at]),
            squares_around(input, at, c + j, channels.count, channels.step, norm), norm.scale, norm.k, norm.beta, mine,
            shared);
        sum += shared;
        if (j == 0) own = mine;
      }
      output[e] = static_cast<T>(lrn_backward(own, static_cast<V>(input[e]), sum, norm.scale, norm.beta));
    });
  }
};

// ---------------------------------------------------------------- five channels, NCHW
// A thread: P neighbouring pixels of an image along a chunk of channels, see lrn_walk.cuh.

template <class T, int P>
struct BackwardWalk {
  using V = Number<T>;
  static constexpr int kStep = P > 2 || sizeof(T) == 8 ? 2 : 4;
  const T* grad;
  const T* input;
  T* output;
  Walks walks;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    int first, last;
    const int64_t start = walks.start(i, P, first, last);
    const T* from = opaque(input + start);
    const T* grads = opaque(grad + start);
    T* to = opaque(output + start);
    const int begin = first < 2 * kSide ? 0 : first - 2 * kSide;
    const int end = walks.channels - last < 2 * kSide ? walks.channels : last + 2 * kSide;
    const int begin_grad = first < kSide ? 0 : first - kSide;
    const int end_grad = walks.channels - last < kSide ? walks.channels : last + kSide;
    Numbers<V, P> x[2 * kSide + kStep] = {};       // channels c .. c + kStep + 3
    Numbers<V, P> own[kSide + kStep] = {};         // channels c .. c + kStep + 1
    Numbers<V, P> shared[2 * kSide + kStep] = {};  // channels c - 2 .. c + kStep + 1
    // Along the channels, some at a time; the first steps only fill the registers.
    for (int c = first - 4 * kSide; c < last; c += kStep) {
      // Phase 1: the next channels are read.
      Numbers<V, P> g[kStep];  // channels c + 2 .. c + kStep + 1
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) {
        x[2 * kSide + u] = channel<P>(from, c + 2 * kSide + u, begin, end, walks.area);
        g[u] = channel<P>(grads, c + kSide + u, begin_grad, end_grad, walks.area);
      }
      // Phase 2: both parts of those in the middle of five.
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) {
        const bool there = c + kSide + u >= begin_grad && c + kSide + u < end_grad;
        ZFCUDA_UNROLL
        for (int p = 0; p < P; ++p) {
          const V squares = squares_of_five<V>([&](int j) { return x[u + j].of[p]; });
          V mine, passed;
          lrn_backward_parts<kUsual>(g[u].of[p], x[u + kSide].of[p], squares, norm.scale, norm.k, norm.beta, mine,
                                     passed);
          own[kSide + u].of[p] = mine;
          shared[2 * kSide + u].of[p] = there ? passed : V(0);
        }
      }
      // Phase 3: the shared parts of five are summed.
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) {
        if (c + u < first || c + u >= last) continue;
        Pack<T, P> result;
        ZFCUDA_UNROLL
        for (int p = 0; p < P; ++p) {
          V sum = 0;
          ZFCUDA_UNROLL
          for (int j = 0; j < kFive; ++j) sum += shared[u + j].of[p];
          result.of[p] = static_cast<T>(lrn_backward(own[u].of[p], x[u].of[p], sum, norm.scale, norm.beta));
        }
        write(to + static_cast<int64_t>(c + u) * walks.area, result);
      }
      // Phase 4: the registers move on.
      ZFCUDA_UNROLL
      for (int j = 0; j < 2 * kSide; ++j) {
        x[j] = x[j + kStep];
        shared[j] = shared[j + kStep];
      }
      ZFCUDA_UNROLL
      for (int j = 0; j < kSide; ++j) own[j] = own[j + kStep];
    }
  }
};

// ---------------------------------------------------------------- five channels, channels_last
// A thread: a pack of 16 bytes with the channels beside it, which are in the cache.

template <class T>
struct BackwardPacks {
  using V = Number<T>;
  static constexpr int N = kPack<T>;
  const T* grad;
  const T* input;
  T* output;
  int channels;
  Divider<int> packs;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    const int64_t at = static_cast<int64_t>(i) * N;
    int pixel = i;
    const int c = take(pixel, packs) * N;
    V x[N + 4 * kSide], g[N + 2 * kSide], own[N + 2 * kSide], shared[N + 2 * kSide];
    neighbours<2, N>(input + at, c, channels, x);
    neighbours<1, N>(grad + at, c, channels, g);
    ZFCUDA_UNROLL
    for (int n = 0; n < N + 2 * kSide; ++n) {
      const V squares = squares_of_five<V>([&](int j) { return x[n + j]; });
      lrn_backward_parts<kUsual>(g[n], x[n + kSide], squares, norm.scale, norm.k, norm.beta, own[n], shared[n]);
      if (c + n < kSide || c + n - kSide >= channels) shared[n] = 0;
    }
    Pack<T, N> result;
    ZFCUDA_UNROLL
    for (int n = 0; n < N; ++n) {
      V sum = 0;
      ZFCUDA_UNROLL
      for (int j = 0; j < kFive; ++j) sum += shared[n + j];
      result.of[n] = static_cast<T>(lrn_backward(own[n + kSide], x[n + 2 * kSide], sum, norm.scale, norm.beta));
    }
    write(output + at, result);
  }
};

}  // namespace

void Kernels::lrn_backward(const Tensor& grad, const Tensor& input, const Norm& norm, bool channels_last,
                           Tensor& output) {
  if (output.numel() == 0) return;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const T* grads = grad.const_data_ptr<T>();
    const T* from = input.const_data_ptr<T>();
    T* to = output.mutable_data_ptr<T>();
    const Settings<Number<T>> settings(norm);
    const bool done = with_usual<T>(input, grads, norm, channels_last, [&](auto way) {
      constexpr int P = decltype(way)::value;
      if constexpr (P == 0) {
        const int channels = static_cast<int>(input.size(1));
        each<int>(static_cast<int>(input.numel() / kPack<T>), input,
                  BackwardPacks<T>{grads, from, to, channels, Divider<int>(channels / kPack<T>), settings});
      } else {
        // Much stays in registers: fewer pixels.
        constexpr int Q = P > 4 ? 4 : P;
        const Walks walks = Walks::of(input, Q);
        each<int>(static_cast<int>(walks.threads(input.size(0))), input,
                  BackwardWalk<T, Q>{grads, from, to, walks, settings});
      }
    });
    if (done) return;
    with_channels(input, channels_last, [&](auto index, auto channels) {
      using I = decltype(index);
      each<I>(static_cast<I>(input.numel()), input, Backward<T, I>{grads, from, to, channels, settings});
    });
  });
}

}  // namespace zfcuda::cuda

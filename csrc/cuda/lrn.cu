// Local response normalisation and its gradient on the GPU.
#include "cuda/lrn.cuh"

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

// ---------------------------------------------------------------- five channels, NCHW
// A thread: some neighbouring pixels of a picture, P of them, along a chunk of channels; the channels that are still
// needed stay in registers. The next thread: the next pixels.

struct Walks {
  int channels, area, chunk;  // chunk: channels of a thread
  Divider<int> pixels, chunks;

  static Walks of(const Tensor& t, int64_t pack) {
    const int64_t channels = t.size(1), area = t.size(2) * t.size(3);
    const int64_t chunk = chunk_of_channels(t.size(0) * area / pack, channels), chunks = (channels + chunk - 1) / chunk;
    return {static_cast<int>(channels), static_cast<int>(area), static_cast<int>(chunk),
            Divider<int>(static_cast<int>(area / pack)), Divider<int>(static_cast<int>(chunks))};
  }
  int64_t threads(int64_t batch) const {
    return batch * static_cast<int64_t>(pixels.divisor()) * static_cast<int64_t>(chunks.divisor());
  }
  // Of thread i: where the pixels of its picture's first channel begin, and its channels [first, last).
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
    // The first steps only fill the registers.
    for (int c = first - 2 * kSide; c < last; c += kStep) {
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) x[2 * kSide + u] = channel<P>(from, c + kSide + u, begin, end, walks.area);
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
      ZFCUDA_UNROLL
      for (int j = 0; j < 2 * kSide; ++j) x[j] = x[j + kStep];
    }
  }
};

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
    // The first steps only fill the registers.
    for (int c = first - 4 * kSide; c < last; c += kStep) {
      Numbers<V, P> g[kStep];  // channels c + 2 .. c + kStep + 1
      ZFCUDA_UNROLL
      for (int u = 0; u < kStep; ++u) {
        x[2 * kSide + u] = channel<P>(from, c + 2 * kSide + u, begin, end, walks.area);
        g[u] = channel<P>(grads, c + kSide + u, begin_grad, end_grad, walks.area);
      }
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

// ---------------------------------------------------------------- any size, exponent and layout
// A thread per element.

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

// Calls f(T*, Way) where a kernel for the usual case takes the tensors, and returns true.
// Way: the pixels of a thread (NCHW), 0 for packs of channels.
template <class T, class F>
bool with_usual(const Tensor& t, const void* other, const Norm& norm, bool channels_last, const F& f) {
  if (!usual(norm)) return false;
  const int64_t area = t.size(2) * t.size(3);
  const auto go_together = [&](int64_t count, int64_t of) {
    return of % count == 0 && aligned(t.const_data_ptr(), count * sizeof(T)) && aligned(other, count * sizeof(T));
  };
  if (channels_last && t.size(1) > 1) {
    if (!go_together(kPack<T>, t.size(1)) || !fits_int32(t.numel() / kPack<T>)) return false;
    f(std::integral_constant<int, 0>{});
    return true;
  }
  const int64_t most_chunks = t.size(1) < kShortest ? 1 : t.size(1) / kShortest;
  if (!fits_int32(t.size(0) * area * most_chunks)) return false;
  if (go_together(kPack<T>, area))
    f(std::integral_constant<int, kPack<T>>{});
  else if (go_together(kPack<T> / 2, area))
    f(std::integral_constant<int, kPack<T> / 2>{});
  else
    f(std::integral_constant<int, 1>{});
  return true;
}

// Calls f(index, channels).
template <class F>
void with_channels(const Tensor& t, bool channels_last, const F& f) {
  with_index(t.numel(), 0, [&](auto index) {
    f(index, Channels<decltype(index)>(t.size(1), channels_last ? 1 : t.size(2) * t.size(3)));
  });
}

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

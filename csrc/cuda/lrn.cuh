// What the kernels of local response normalisation share: roots, settings, the sum over five channels in registers.
#pragma once

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "window.h"

namespace zfcuda::cuda {

ZFCUDA_HOST_DEVICE float square_root(float v) { return sqrtf(v); }
ZFCUDA_HOST_DEVICE double square_root(double v) { return sqrt(v); }
ZFCUDA_HOST_DEVICE float power(float v, double exponent) { return powf(v, static_cast<float>(exponent)); }
ZFCUDA_HOST_DEVICE double power(double v, double exponent) { return pow(v, exponent); }

#include "lrn.inl"

// What the bodies need of a Norm, in the number type.
template <class V>
struct Settings {
  Exponent exponent;
  int size, before, after;
  V scale, k, beta;
  explicit Settings(const Norm& n)
      : exponent(exponent_of(n.beta)), size(static_cast<int>(n.size)), before(static_cast<int>(n.before)),
        after(static_cast<int>(n.after)), scale(static_cast<V>(n.scale)), k(static_cast<V>(n.k)),
        beta(static_cast<V>(n.beta)) {}
};

// Calls f with the exponent as a constant.
template <class F>
ZFCUDA_HOST_DEVICE void with_exponent(Exponent exponent, const F& f) {
  switch (exponent) {
    case Exponent::three_quarters: f(std::integral_constant<Exponent, Exponent::three_quarters>{}); break;
    case Exponent::half: f(std::integral_constant<Exponent, Exponent::half>{}); break;
    case Exponent::one: f(std::integral_constant<Exponent, Exponent::one>{}); break;
    case Exponent::any: f(std::integral_constant<Exponent, Exponent::any>{}); break;
  }
}

template <class V>
ZFCUDA_HOST_DEVICE V normalised(V x, V squares, const Settings<V>& norm) {
  V result = 0;
  with_exponent(norm.exponent, [&](auto exponent) {
    result = lrn_forward<decltype(exponent)::value>(x, squares, norm.scale, norm.k, norm.beta);
  });
  return result;
}

// The case of AlexNet, ZFNet and GoogLeNet, which has kernels of its own: five channels, beta 0.75.
constexpr int kSide = 2, kFive = 2 * kSide + 1;
constexpr Exponent kUsual = Exponent::three_quarters;
inline bool usual(const Norm& norm) {
  return norm.before == kSide && norm.after == kSide && exponent_of(norm.beta) == kUsual;
}

template <class V>
ZFCUDA_HOST_DEVICE V normalised_by_five(V x, V squares, const Settings<V>& norm) {
  return lrn_forward<kUsual>(x, squares, norm.scale, norm.k, norm.beta);
}

// The sum of squares of five channels; x(j) is the j-th. A sum of its own for each output: one that slides along the
// channels would keep the rounding of all that it has seen.
template <class V, class F>
ZFCUDA_HOST_DEVICE V squares_of_five(const F& x) {
  V sum = 0;
  ZFCUDA_UNROLL
  for (int j = 0; j < kFive; ++j) {
    const V v = x(j);
    sum += v * v;
  }
  return sum;
}

// Channels c - 2 S .. c + N + 2 S - 1 around the pack at x, of `channels`; zeros where there is none.
template <int S, int N, class T>
ZFCUDA_HOST_DEVICE void neighbours(const T* x, int c, int channels, Number<T> (&numbers)[N + 2 * S * kSide]) {
  const auto take_pack = [&](auto size, int at) {
    constexpr int M = decltype(size)::value;
    Pack<T, M> values{};
    if (c + at >= 0 && c + at < channels) values = read<M>(x + at);
    ZFCUDA_UNROLL
    for (int m = 0; m < M; ++m) numbers[S * kSide + at + m] = static_cast<Number<T>>(values.of[m]);
  };
  take_pack(std::integral_constant<int, N>{}, 0);
  ZFCUDA_UNROLL
  for (int s = 0; s < S; ++s) {
    take_pack(std::integral_constant<int, kSide>{}, -(s + 1) * kSide);
    take_pack(std::integral_constant<int, kSide>{}, N + s * kSide);
  }
}

// The threads that fill a GPU, and the channels that one of them walks along where there are `walks` without cutting
// them: with few, the channels are cut into chunks, whose neighbours are read twice.
constexpr int64_t kFill = int64_t{1} << 18, kShortest = 8;
inline int64_t chunk_of_channels(int64_t walks, int64_t channels) {
  const int64_t wanted = (kFill + walks - 1) / walks, most = channels < kShortest ? 1 : channels / kShortest;
  const int64_t chunks = wanted < most ? wanted : most;
  return (channels + chunks - 1) / chunks;
}

// Channel c of element e of a tensor whose channels lie `step` apart: NCHW H * W, channels_last 1.
template <class I>
struct Channels {
  I count, step;
  Divider<I> by_step, by_count;
  Channels(int64_t count, int64_t step)
      : count(static_cast<I>(count)), step(static_cast<I>(step)), by_step(static_cast<I>(step)),
        by_count(static_cast<I>(count)) {}
  ZFCUDA_HOST_DEVICE I of(I e) const {
    e = by_step.quotient(e);
    return take(e, by_count);
  }
};

// The sum of squares around element e, its channel c, of any size; neighbours come from the cache.
template <class T, class I, class V>
ZFCUDA_HOST_DEVICE V squares_around(const T* x, I e, I c, I channels, I step, const Settings<V>& norm) {
  const I from = c < norm.before ? -c : -norm.before;
  const I to = channels - 1 - c < norm.after ? channels - 1 - c : norm.after;
  V sum = 0;
  for (I j = from; j <= to; ++j) {
    const V v = static_cast<V>(x[e + j * step]);
    sum += v * v;
  }
  return sum;
}

// ---------------------------------------------------------------- which kernel takes a case

// Calls f(way) where a kernel for the usual case takes the tensors, and returns true.
// Way, a constant: the pixels of a thread (NCHW), 0 for packs of channels.
template <class T, class F>
bool with_usual(const at::Tensor& t, const void* other, const Norm& norm, bool channels_last, const F& f) {
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
void with_channels(const at::Tensor& t, bool channels_last, const F& f) {
  with_index(t.numel(), 0, [&](auto index) {
    f(index, Channels<decltype(index)>(t.size(1), channels_last ? 1 : t.size(2) * t.size(3)));
  });
}

}  // namespace zfcuda::cuda

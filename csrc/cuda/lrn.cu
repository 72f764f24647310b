// Local response normalisation, its gradient and the fused stage ReLU -> pooling -> LRN on the GPU.
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "cuda/launch.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

ZFCUDA_HOST_DEVICE float square_root(float v) { return sqrtf(v); }
ZFCUDA_HOST_DEVICE double square_root(double v) { return sqrt(v); }
ZFCUDA_HOST_DEVICE float power(float v, double exponent) { return powf(v, static_cast<float>(exponent)); }
ZFCUDA_HOST_DEVICE double power(double v, double exponent) { return pow(v, exponent); }

#include "lrn.h"
#include "pooling.h"

// What the bodies need of a Norm, in the number type.
template <class V>
struct Settings {
  int size, before, after;
  V scale, k, beta;
  explicit Settings(const Norm& n)
      : size(static_cast<int>(n.size)), before(static_cast<int>(n.before)), after(static_cast<int>(n.after)),
        scale(static_cast<V>(n.scale)), k(static_cast<V>(n.k)), beta(static_cast<V>(n.beta)) {}
};

// Channel c of element e of a tensor whose channels lie `step` apart: NCHW H * W, channels_last 1.
template <class I>
struct Channels {
  I count, step;
  ZFCUDA_HOST_DEVICE I of(I e) const { return e / step % count; }
};

// The sum of squares around element e, its channel c; neighbours come from the cache.
template <class T, class I, class V>
ZFCUDA_HOST_DEVICE V squares_around(const T* x, I e, I c, const Channels<I>& channels, const Settings<V>& norm) {
  const I from = c < norm.before ? -c : -norm.before;
  const I to = channels.count - 1 - c < norm.after ? channels.count - 1 - c : norm.after;
  V sum = 0;
  for (I j = from; j <= to; ++j) {
    const V v = static_cast<V>(x[e + j * channels.step]);
    sum += v * v;
  }
  return sum;
}

template <Exponent E, class T, class I>
struct Forward {
  using V = Number<T>;
  const T* input;
  T* output;
  Channels<I> channels;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(I e) const {
    const V squares = squares_around(input, e, channels.of(e), channels, norm);
    output[e] = static_cast<T>(lrn_forward<E>(static_cast<V>(input[e]), squares, norm.scale, norm.k, norm.beta));
  }
};

template <Exponent E, class T, class I>
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
    V own = 0, sum = 0;
    for (I j = from; j <= to; ++j) {
      const I at = e + j * channels.step;
      V mine, shared;
      lrn_backward_parts<E>(static_cast<V>(grad[at]), static_cast<V>(input[at]),
                            squares_around(input, at, c + j, channels, norm), norm.scale, norm.k, norm.beta, mine, shared);
      sum += shared;
      if (j == 0) own = mine;
    }
    output[e] = static_cast<T>(lrn_backward(own, static_cast<V>(input[e]), sum, norm.scale, norm.beta));
  }
};

// ---------------------------------------------------------------- the fused stage

template <class T, class I>
struct Stage {
  const T* input;
  T* output;
  uint8_t* switches;
  T* pooled;
  PoolingOf<I> p;
  I depth;          // memory order as in pooling.cu: 1, or C for channels_last
  I pixels;         // batch * Ho * Wo
  int per_block;    // pixels of one block
  Settings<Number<T>> norm;

  // Output element (pixel of all pictures, channel) in memory.
  ZFCUDA_HOST_DEVICE I place(I pixel, I c) const {
    const I area = p.y.outputs * p.x.outputs;
    return depth == 1 ? (pixel / area * p.channels + c) * area + pixel % area : pixel * p.channels + c;
  }

  ZFCUDA_HOST_DEVICE Number<T> winner(I pixel, I c) const {
    using V = Number<T>;
    const I ox = pixel % p.x.outputs, oy = pixel / p.x.outputs % p.y.outputs, picture = pixel / (p.x.outputs * p.y.outputs);
    const I y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy), x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
    V best = 0;  // the ReLU
    int at = static_cast<int>(y0 * p.x.kernel + x0);
    const I plane = depth == 1 ? picture * p.channels + c : picture, offset = depth == 1 ? 0 : c;
    for (I ky = y0; ky < y1; ++ky)
      for (I kx = x0; kx < x1; ++kx) {
        const I from = ((plane * p.y.inputs + p.y.start(oy) + ky) * p.x.inputs + p.x.start(ox) + kx) * depth + offset;
        pool_take(static_cast<V>(input[from]), static_cast<int>(ky * p.x.kernel + kx), best, at);
      }
    const I to = place(pixel, c);
    switches[to] = static_cast<uint8_t>(at);
    if (pooled != nullptr) pooled[to] = static_cast<T>(best);
    return best;
  }
};

// One block: the winners of `per_block` neighbouring pixels, all channels, into shared memory; then their normalisation.
// Threads run along what is contiguous: pixels (NCHW) or channels (channels_last).
template <Exponent E, class T, class I>
__global__ void __launch_bounds__(kThreads) stage_kernel(Stage<T, I> stage) {
  using V = Number<T>;
  V* winners = shared_memory<V>();  // [channels][per_block + 1]: the + 1 keeps the banks apart
  const int channels = static_cast<int>(stage.p.channels), row = stage.per_block + 1;
  const I groups = (stage.pixels + stage.per_block - 1) / stage.per_block;
  for (I group = blockIdx.x; group < groups; group += gridDim.x) {
    const I first = group * stage.per_block;
    const int count = static_cast<int>(stage.pixels - first < stage.per_block ? stage.pixels - first : stage.per_block);
    const int items = count * channels;
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x)) {
      const int c = stage.depth == 1 ? i / count : i % channels, pixel = stage.depth == 1 ? i % count : i / channels;
      winners[c * row + pixel] = stage.winner(first + pixel, c);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x)) {
      const int c = stage.depth == 1 ? i / count : i % channels, pixel = stage.depth == 1 ? i % count : i / channels;
      const V* x = winners + c * row + pixel;
      const V squares = squares_around(x, 0, c, Channels<int>{channels, row}, stage.norm);
      stage.output[stage.place(first + pixel, c)] =
          static_cast<T>(lrn_forward<E>(*x, squares, stage.norm.scale, stage.norm.k, stage.norm.beta));
    }
    __syncthreads();
  }
}

template <class F>
void with_exponent(double beta, const F& f) {
  switch (exponent_of(beta)) {
    case Exponent::three_quarters: f(std::integral_constant<Exponent, Exponent::three_quarters>{}); break;
    case Exponent::half: f(std::integral_constant<Exponent, Exponent::half>{}); break;
    case Exponent::one: f(std::integral_constant<Exponent, Exponent::one>{}); break;
    case Exponent::any: f(std::integral_constant<Exponent, Exponent::any>{}); break;
  }
}

// Calls f(T*, I, exponent, channels).
template <class F>
void with_settings(const Tensor& t, const Norm& norm, bool channels_last, const F& f) {
  with_type(t.scalar_type(), [&](auto* type) {
    with_index(t.numel(), 0, [&](auto index) {
      using I = decltype(index);
      const Channels<I> channels{static_cast<I>(t.size(1)), static_cast<I>(channels_last ? 1 : t.size(2) * t.size(3))};
      with_exponent(norm.beta, [&](auto exponent) { f(type, index, exponent, channels); });
    });
  });
}

}  // namespace

void lrn(const Tensor& input, const Norm& norm, bool channels_last, Tensor& output) {
  with_settings(input, norm, channels_last, [&](auto* type, auto index, auto exponent, auto channels) {
    using T = std::remove_pointer_t<decltype(type)>;
    using I = decltype(index);
    constexpr Exponent E = decltype(exponent)::value;
    each<I>(static_cast<I>(input.numel()), input,
            Forward<E, T, I>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(), channels,
                             Settings<Number<T>>(norm)});
  });
}

void lrn_backward(const Tensor& grad, const Tensor& input, const Norm& norm, bool channels_last, Tensor& output) {
  with_settings(input, norm, channels_last, [&](auto* type, auto index, auto exponent, auto channels) {
    using T = std::remove_pointer_t<decltype(type)>;
    using I = decltype(index);
    constexpr Exponent E = decltype(exponent)::value;
    each<I>(static_cast<I>(input.numel()), input,
            Backward<E, T, I>{grad.const_data_ptr<T>(), input.const_data_ptr<T>(), output.mutable_data_ptr<T>(), channels,
                              Settings<Number<T>>(norm)});
  });
}

void relu_max_pool_lrn(const Tensor& input, const Pooling& p, const Norm& norm, bool channels_last, Tensor& output,
                       Tensor& switches, Tensor* pooled) {
  constexpr int64_t kShared = 48 * 1024;  // what every GPU gives a block without asking
  const int64_t number = input.scalar_type() == at::kDouble ? 8 : 4;
  const int64_t room = kShared / (p.channels * number) - 1;  // pixels of one block
  if (room < 1) {  // thousands of channels: in two passes
    Tensor kept = pooled == nullptr ? at::empty_like(output) : *pooled;
    max_pool(input, p, true, channels_last, kept, switches);
    lrn(kept, norm, channels_last, output);
    return;
  }
  const int64_t per_block = room < 32 ? room : 32;
  with_type(input.scalar_type(), [&](auto* type) {
    with_index(std::max(input.numel(), output.numel()), largest_stride(p), [&](auto index) {
      with_exponent(norm.beta, [&](auto exponent) {
        using T = std::remove_pointer_t<decltype(type)>;
        using I = decltype(index);
        constexpr Exponent E = decltype(exponent)::value;
        const int64_t pixels = p.batch * p.y.outputs * p.x.outputs;
        const Stage<T, I> stage{input.const_data_ptr<T>(),
                                output.mutable_data_ptr<T>(),
                                switches.mutable_data_ptr<uint8_t>(),
                                pooled == nullptr ? nullptr : pooled->mutable_data_ptr<T>(),
                                p.as<I>(),
                                static_cast<I>(channels_last ? p.channels : 1),
                                static_cast<I>(pixels),
                                static_cast<int>(per_block),
                                Settings<Number<T>>(norm)};
        const int64_t groups = (pixels + per_block - 1) / per_block;
        const auto shared = static_cast<size_t>(p.channels * (per_block + 1) * number);
        launch(stage_kernel<E, T, I>, groups, shared, input, stage);
      });
    });
  });
}

}  // namespace zfcuda::cuda

// Pooling with switches, unpooling and gathering by switch on the GPU: one thread per output (channels_last: per 16 bytes of
// channels), consecutive threads on consecutive memory.
#include "cuda/launch.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

#include "pooling.h"

// Memory order: NCHW is planes of [H,W] with depth 1, channels_last pictures of [H,W] with depth C. N channels at a time.
template <class T, class I, int N>
struct Pool {
  const T* input;
  T* output;
  uint8_t* switches;
  PoolingOf<I> p;
  I depth;
  Number<T> start;  // what the first element has to beat: -infinity, or 0 with a fused ReLU

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    using V = Number<T>;
    const I packs = depth / N, c = i % packs * N, pixel = i / packs;
    const I ox = pixel % p.x.outputs, oy = pixel / p.x.outputs % p.y.outputs, plane = pixel / (p.x.outputs * p.y.outputs);
    const I y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy), x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
    V best[N];
    int at[N];
    for (int n = 0; n < N; ++n) {
      best[n] = start;
      at[n] = static_cast<int>(y0 * p.x.kernel + x0);
    }
    for (I ky = y0; ky < y1; ++ky)
      for (I kx = x0; kx < x1; ++kx) {
        const I from = ((plane * p.y.inputs + p.y.start(oy) + ky) * p.x.inputs + p.x.start(ox) + kx) * depth + c;
        const auto values = *reinterpret_cast<const Pack<T, N>*>(input + from);
        for (int n = 0; n < N; ++n)
          pool_take(static_cast<V>(values.of[n]), static_cast<int>(ky * p.x.kernel + kx), best[n], at[n]);
      }
    Pack<T, N> winners;
    Pack<uint8_t, N> offsets;
    for (int n = 0; n < N; ++n) {
      winners.of[n] = static_cast<T>(best[n]);
      offsets.of[n] = static_cast<uint8_t>(at[n]);
    }
    *reinterpret_cast<Pack<T, N>*>(output + i * N) = winners;
    *reinterpret_cast<Pack<uint8_t, N>*>(switches + i * N) = offsets;
  }
};

template <class T, class I, int N>
struct Unpool {
  const T* input;
  const uint8_t* switches;
  const T* gate;
  T* output;
  PoolingOf<I> p;
  I depth;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    using V = Number<T>;
    const I packs = depth / N, c = i % packs * N, pixel = i / packs;
    const I x = pixel % p.x.inputs, y = pixel / p.x.inputs % p.y.inputs, plane = pixel / (p.x.inputs * p.y.inputs);
    const I y0 = p.y.first_window(y), y1 = p.y.last_window(y), x0 = p.x.first_window(x), x1 = p.x.last_window(x);
    V sum[N] = {};
    for (I oy = y0; oy < y1; ++oy)
      for (I ox = x0; ox < x1; ++ox) {
        const I from = ((plane * p.y.outputs + oy) * p.x.outputs + ox) * depth + c;
        const int tap = static_cast<int>((y - p.y.start(oy)) * p.x.kernel + x - p.x.start(ox));
        const auto values = *reinterpret_cast<const Pack<T, N>*>(input + from);
        const auto offsets = *reinterpret_cast<const Pack<uint8_t, N>*>(switches + from);
        Pack<T, N> passes;
        if (gate != nullptr) passes = *reinterpret_cast<const Pack<T, N>*>(gate + from);
        for (int n = 0; n < N; ++n) {
          auto value = static_cast<V>(values.of[n]);
          if (gate != nullptr) value = gated(value, static_cast<V>(passes.of[n]));
          unpool_add(value, static_cast<int>(offsets.of[n]), tap, sum[n]);
        }
      }
    Pack<T, N> result;
    for (int n = 0; n < N; ++n) result.of[n] = static_cast<T>(sum[n]);
    *reinterpret_cast<Pack<T, N>*>(output + i * N) = result;
  }
};

template <class T, class I>
struct Gather {
  const T* input;
  const uint8_t* switches;
  const T* gate;
  T* output;
  PoolingOf<I> p;
  I depth;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    const I c = i % depth, pixel = i / depth;
    const I ox = pixel % p.x.outputs, oy = pixel / p.x.outputs % p.y.outputs, plane = pixel / (p.x.outputs * p.y.outputs);
    const I tap = switches[i];
    const I y = p.y.start(oy) + tap / p.x.kernel, x = p.x.start(ox) + tap % p.x.kernel;
    const bool inside =
        tap < p.y.kernel * p.x.kernel && y >= 0 && y < p.y.inputs && x >= 0 && x < p.x.inputs;
    const bool passes = inside && !(gate != nullptr && static_cast<Number<T>>(gate[i]) <= 0);
    output[i] = passes ? input[((plane * p.y.inputs + y) * p.x.inputs + x) * depth + c] : T(0);
  }
};

// Calls f(T*, I, packed) with the element type, index type, and how many channels go together.
template <class F>
void with_layout(const Tensor& large, const Pooling& p, bool channels_last, bool all_aligned, const F& f) {
  with_type(large.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    constexpr int kPack = 16 / sizeof(T);
    with_index(large.numel(), largest_stride(p), [&](auto index) {
      if (channels_last && p.channels % kPack == 0 && all_aligned)
        f(t, index, std::integral_constant<int, kPack>{});
      else
        f(t, index, std::integral_constant<int, 1>{});
    });
  });
}

const Tensor& larger(const Tensor& a, const Tensor& b) { return a.numel() > b.numel() ? a : b; }

}  // namespace

void max_pool(const Tensor& input, const Pooling& p, bool relu, bool channels_last, Tensor& output, Tensor& switches) {
  const bool packs = aligned(input.const_data_ptr());
  with_layout(larger(input, output), p, channels_last, packs, [&](auto* t, auto index, auto pack) {
    using T = std::remove_pointer_t<decltype(t)>;
    using I = decltype(index);
    constexpr int N = decltype(pack)::value;
    each<I>(static_cast<I>(output.numel() / N), output,
            Pool<T, I, N>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(), switches.mutable_data_ptr<uint8_t>(),
                          p.as<I>(), static_cast<I>(channels_last ? p.channels : 1),
                          relu ? Number<T>(0) : -std::numeric_limits<Number<T>>::infinity()});
  });
}

void max_unpool(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p, bool channels_last,
                Tensor& output) {
  const bool packs = aligned(input.const_data_ptr()) && aligned(switches.const_data_ptr()) &&
                     (gate == nullptr || aligned(gate->const_data_ptr()));
  with_layout(larger(input, output), p, channels_last, packs, [&](auto* t, auto index, auto pack) {
    using T = std::remove_pointer_t<decltype(t)>;
    using I = decltype(index);
    constexpr int N = decltype(pack)::value;
    each<I>(static_cast<I>(output.numel() / N), output,
            Unpool<T, I, N>{input.const_data_ptr<T>(), switches.const_data_ptr<uint8_t>(),
                            gate == nullptr ? nullptr : gate->const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                            p.as<I>(), static_cast<I>(channels_last ? p.channels : 1)});
  });
}

void gather_by_switch(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p,
                      bool channels_last, Tensor& output) {
  with_layout(larger(input, output), p, channels_last, false, [&](auto* t, auto index, auto) {
    using T = std::remove_pointer_t<decltype(t)>;
    using I = decltype(index);
    each<I>(static_cast<I>(output.numel()), output,
            Gather<T, I>{input.const_data_ptr<T>(), switches.const_data_ptr<uint8_t>(),
                         gate == nullptr ? nullptr : gate->const_data_ptr<T>(), output.mutable_data_ptr<T>(), p.as<I>(),
                         static_cast<I>(channels_last ? p.channels : 1)});
  });
}

bool runs_on(int64_t device) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  cudaFuncAttributes attributes;
  const bool runs = cudaFuncGetAttributes(&attributes, each_kernel<int32_t, Pool<float, int32_t, 1>>) == cudaSuccess;
  (void)cudaGetLastError();  // a refusal is an answer here, not an error for the next call
  return runs;
}

}  // namespace zfcuda::cuda

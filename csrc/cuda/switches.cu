// Pooling with switches and gathering by switch on the GPU.
#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/windows.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

// Windows of a known size. A thread: some windows one below the other, of one plane (NCHW) or a pack of channels
// (channels_last); the next thread: the next channels, then the windows on the right.
template <class T, int N, class W>
struct PoolColumns {
  using V = Number<T>;
  static constexpr int kRows = N == 1 ? 4 : 2;  // windows of a thread
  const T* input;
  T* output;
  uint8_t* switches;
  WindowAxisOf<int> y, x;
  int depth;
  V start;  // what the first element has to beat: -infinity, or 0 with a fused ReLU
  Divider<int> packs, columns, groups;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    const int c = N == 1 ? 0 : take(i, packs) * N, ox = take(i, columns), oy = take(i, groups) * kRows;
    const int64_t plane = i;
    WindowColumn<T, N, W, kRows> column(y, x, depth, oy, ox);
    column.load(input + plane * (y.inputs * x.inputs * between_pixels<N>(depth)) + c);
    const RowWinners<T, N, W, kRows> rows(column);
    const int64_t first = plane * (y.outputs * x.outputs * between_pixels<N>(depth)) + c;
    T* const to = opaque(output + first);
    uint8_t* const to_switches = opaque(switches + first);
    ZFCUDA_UNROLL
    for (int o = 0; o < kRows; ++o) {
      if (oy + o >= y.outputs) break;
      Pack<T, N> winners;
      Pack<uint8_t, N> offsets;
      ZFCUDA_UNROLL
      for (int n = 0; n < N; ++n) {
        V best;
        int offset;
        rows.window(column, o, n, start, best, offset);
        winners.of[n] = static_cast<T>(best);
        offsets.of[n] = static_cast<uint8_t>(offset);
      }
      const int at = ((oy + o) * x.outputs + ox) * between_pixels<N>(depth);
      write(to + at, winners);
      write(to_switches + at, offsets);
    }
  }
};

// Any windows: a thread per output element, or pack of channels. Memory order: NCHW is planes of [H,W] with depth 1,
// channels_last images of [H,W] with depth C. N channels at a time.
template <class T, class I, int N>
struct Pool {
  using V = Number<T>;
  const T* input;
  T* output;
  uint8_t* switches;
  PoolingOf<I> p;
  I depth;
  V start;
  Divider<I> packs, columns, rows;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    I plane = i;
    const I c = take(plane, packs) * N, ox = take(plane, columns), oy = take(plane, rows);
    const I y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy), x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
    V best[N];
    int at[N];
    ZFCUDA_UNROLL
    for (int n = 0; n < N; ++n) {
      best[n] = start;
      at[n] = static_cast<int>(y0 * p.x.kernel + x0);
    }
    for (I ky = y0; ky < y1; ++ky)
      for (I kx = x0; kx < x1; ++kx) {
        const I from = ((plane * p.y.inputs + p.y.start(oy) + ky) * p.x.inputs + p.x.start(ox) + kx) * depth + c;
        const auto values = read<N>(input + from);
        ZFCUDA_UNROLL
        for (int n = 0; n < N; ++n)
          pool_take(static_cast<V>(values.of[n]), static_cast<int>(ky * p.x.kernel + kx), best[n], at[n]);
      }
    Pack<T, N> winners;
    Pack<uint8_t, N> offsets;
    ZFCUDA_UNROLL
    for (int n = 0; n < N; ++n) {
      winners.of[n] = static_cast<T>(best[n]);
      offsets.of[n] = static_cast<uint8_t>(at[n]);
    }
    write(output + i * N, winners);
    write(switches + i * N, offsets);
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
  Divider<I> channels, columns, rows;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    I plane = i;
    const I c = take(plane, channels), ox = take(plane, columns), oy = take(plane, rows);
    const I tap = switches[i];
    const I y = p.y.start(oy) + tap / p.x.kernel, x = p.x.start(ox) + tap % p.x.kernel;
    const bool inside =
        tap < p.y.kernel * p.x.kernel && y >= 0 && y < p.y.inputs && x >= 0 && x < p.x.inputs;
    const bool passes = inside && !(gate != nullptr && static_cast<Number<T>>(gate[i]) <= 0);
    output[i] = passes ? input[((plane * p.y.inputs + y) * p.x.inputs + x) * depth + c] : T(0);
  }
};

// Returns false where this is a case for Pool.
template <class T, int N, class W>
bool pool_columns(const Tensor& input, const Pooling& p, Number<T> start, int64_t depth, Tensor& output,
                  Tensor& switches) {
  constexpr int64_t kRows = PoolColumns<T, N, W>::kRows;
  const int64_t groups = (p.y.outputs + kRows - 1) / kRows, packs = depth / N, planes = p.batch * (p.channels / depth);
  const int64_t threads = planes * groups * p.x.outputs * packs;
  if (!small(p, depth, threads)) return false;
  each<int>(static_cast<int>(threads), output,
            PoolColumns<T, N, W>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                                 switches.mutable_data_ptr<uint8_t>(), p.y.as<int>(), p.x.as<int>(),
                                 static_cast<int>(depth), start, Divider<int>(static_cast<int>(packs)),
                                 Divider<int>(static_cast<int>(p.x.outputs)), Divider<int>(static_cast<int>(groups))});
  return true;
}

}  // namespace

void Kernels::max_pool(const Tensor& input, const Pooling& p, bool relu, bool channels_last, Tensor& output,
                       Tensor& switches) {
  if (output.numel() == 0) return;
  const int64_t depth = channels_last ? p.channels : 1;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const Number<T> start = relu ? Number<T>(0) : -std::numeric_limits<Number<T>>::infinity();
    const bool packs = depth % kPack<T> == 0 && aligned(input.const_data_ptr());
    bool done = false;
    with_square(p, [&](auto square) {
      using W = decltype(square);
      if (depth == 1)
        done = pool_columns<T, 1, W>(input, p, start, depth, output, switches);
      else if (packs)
        done = pool_columns<T, kPack<T>, W>(input, p, start, depth, output, switches);
    });
    if (done) return;
    const auto run = [&](auto index, auto pack) {
      using I = decltype(index);
      constexpr int N = decltype(pack)::value;
      each<I>(static_cast<I>(output.numel() / N), output,
              Pool<T, I, N>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                            switches.mutable_data_ptr<uint8_t>(), p.as<I>(), static_cast<I>(depth), start,
                            Divider<I>(static_cast<I>(depth / N)),
                            Divider<I>(static_cast<I>(p.x.outputs)), Divider<I>(static_cast<I>(p.y.outputs))});
    };
    with_index(larger(input, output).numel(), largest_stride(p), [&](auto index) {
      if (packs)
        run(index, std::integral_constant<int, kPack<T>>{});
      else
        run(index, std::integral_constant<int, 1>{});
    });
  });
}

void Kernels::gather_by_switch(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p,
                               bool channels_last, Tensor& output) {
  if (output.numel() == 0) return;
  const int64_t depth = channels_last ? p.channels : 1;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    with_index(larger(input, output).numel(), largest_stride(p), [&](auto index) {
      using I = decltype(index);
      each<I>(static_cast<I>(output.numel()), output,
              Gather<T, I>{input.const_data_ptr<T>(), switches.const_data_ptr<uint8_t>(),
                           gate == nullptr ? nullptr : gate->const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                           p.as<I>(), static_cast<I>(depth), Divider<I>(static_cast<I>(depth)),
                           Divider<I>(static_cast<I>(p.x.outputs)), Divider<I>(static_cast<I>(p.y.outputs))});
    });
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

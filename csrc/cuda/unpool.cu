// Unpooling by switches on the GPU: every output gathers from the windows that read it, which makes the sum
// deterministic.
#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/windows.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

constexpr int kNowhere = 256;  // added to a switch, it points into no window

// Windows of a known size. A thread: a column of cells of stride x stride outputs, of one plane (NCHW) or a pack of
// channels (channels_last); the next thread: the next channels, then the cell on the right. With y + padding = stride q
// + r, output y is read by the windows q, q - 1, ..., at the offsets r, r + stride, ... A cell's rows have one q; its
// columns begin at `phase` in stride q + r, so that they may begin where memory is aligned.
template <class T, int N, class W, int Phase>
struct UnpoolCells {
  using V = Number<T>;
  static constexpr int K = W::kKernel, S = W::kStride;
  static constexpr int kCells = N == 1 ? 4 : 1;              // of a thread
  static constexpr int kAbove = (K - 1) / S;                 // windows before q that may reach it
  static constexpr int kLeft = (K - Phase - 1) / S;          // windows that the first column needs before its q
  static constexpr int kWide = kLeft + (Phase + S - 1) / S + 1;  // windows side by side
  const T* input;
  const uint8_t* switches;
  const T* gate;  // something readable where there is none
  bool is_gated;
  T* output;
  WindowAxisOf<int> y, x;
  int depth;
  int x_start, q_start;  // of the first cell: its first column (negative: in the padding), that column's q
  bool whole;            // rows begin at multiples of S elements, so that a cell's row is stored at once (N == 1)
  Divider<int> packs, columns, groups;

  struct Window {
    V value[N];
    int at[N];
  };

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    const int c = N == 1 ? 0 : take(i, packs) * N, column = take(i, columns), q = take(i, groups) * kCells;
    const int64_t plane = i, from = plane * (y.outputs * x.outputs * between_pixels<N>(depth)) + c;
    Window windows[kCells + kAbove][kWide];
    load(opaque(input + from), opaque(switches + from), opaque(gate + from), q - kAbove, q_start + column - kLeft,
         windows);
    Pack<T, N> sums[kCells * S][S];
    ZFCUDA_UNROLL
    for (int row = 0; row < kCells * S; ++row) {
      ZFCUDA_UNROLL
      for (int t = 0; t < S; ++t) {
        ZFCUDA_UNROLL
        for (int n = 0; n < N; ++n) sums[row][t].of[n] = static_cast<T>(sum(windows, row, t, n));
      }
    }
    store(opaque(output + plane * (y.inputs * x.inputs * between_pixels<N>(depth)) + c), q * S - y.padding,
          x_start + column * S, sums);
  }

  // Windows (oy, ox) and on. One outside the output is replaced by the nearest, with switches that point nowhere.
  ZFCUDA_HOST_DEVICE void load(const T* values, const uint8_t* offsets, const T* gates, int oy, int ox,
                               Window (&windows)[kCells + kAbove][kWide]) const {
    ZFCUDA_UNROLL
    for (int a = 0; a < kCells + kAbove; ++a) {
      ZFCUDA_UNROLL
      for (int b = 0; b < kWide; ++b) {
        const int row = clamped(oy + a, y.outputs), column = clamped(ox + b, x.outputs);
        const int away = (row == oy + a ? 0 : kNowhere) + (column == ox + b ? 0 : kNowhere);
        const int place = (row * x.outputs + column) * between_pixels<N>(depth);
        const auto value = read<N>(values + place);
        const auto offset = read<N>(offsets + place);
        ZFCUDA_UNROLL
        for (int n = 0; n < N; ++n) {
          windows[a][b].value[n] = static_cast<V>(value.of[n]);
          windows[a][b].at[n] = offset.of[n] + away;
        }
        if (is_gated) {
          const auto gating = read<N>(gates + place);
          ZFCUDA_UNROLL
          for (int n = 0; n < N; ++n)
            windows[a][b].value[n] = gated(windows[a][b].value[n], static_cast<V>(gating.of[n]));
        }
      }
    }
  }

  // The sum of output (row, t) of the cells.
  ZFCUDA_HOST_DEVICE static V sum(const Window (&windows)[kCells + kAbove][kWide], int row, int t, int n) {
    const int cell = row / S, r = row % S;
    V sum = 0;
    ZFCUDA_UNROLL
    for (int a = 0; a <= kAbove; ++a) {
      ZFCUDA_UNROLL
      for (int b = 0; b < kWide; ++b) {
        const int ky = r + S * (kAbove - a), kx = Phase + t - S * (b - kLeft);
        if (ky < K && kx >= 0 && kx < K)
          unpool_add(windows[cell + a][b].value[n], windows[cell + a][b].at[n], ky * K + kx, sum);
      }
    }
    return sum;
  }

  ZFCUDA_HOST_DEVICE void store(T* to, int at_y, int at_x, const Pack<T, N> (&sums)[kCells * S][S]) const {
    ZFCUDA_UNROLL
    for (int row = 0; row < kCells * S; ++row) {
      if (at_y + row < 0 || at_y + row >= y.inputs) continue;
      T* const first = to + ((at_y + row) * x.inputs + at_x) * between_pixels<N>(depth);
      if (N == 1 && whole) {
        Pack<T, S> together;
        ZFCUDA_UNROLL
        for (int t = 0; t < S; ++t) together.of[t] = sums[row][t].of[0];
        write(first, together);
      } else {
        ZFCUDA_UNROLL
        for (int t = 0; t < S; ++t)
          if (at_x + t >= 0 && at_x + t < x.inputs) write(first + t * between_pixels<N>(depth), sums[row][t]);
      }
    }
  }
};

// Any windows: a thread per output element, or pack of channels. Memory order as in switches.cu.
template <class T, class I, int N>
struct Unpool {
  using V = Number<T>;
  const T* input;
  const uint8_t* switches;
  const T* gate;
  T* output;
  PoolingOf<I> p;
  I depth;
  Divider<I> packs, columns, rows, y_stride, x_stride;

  // The windows [first, past) that read input i.
  ZFCUDA_HOST_DEVICE static void windows_at(I i, const WindowAxisOf<I>& axis, const Divider<I>& stride, I& first,
                                            I& past) {
    const I reach = i + axis.padding - axis.kernel + 1, end = stride.quotient(i + axis.padding) + 1;
    first = reach <= 0 ? 0 : stride.quotient(reach + axis.stride - 1);
    past = end < axis.outputs ? end : axis.outputs;
  }

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    I plane = i;
    const I c = take(plane, packs) * N, x = take(plane, columns), y = take(plane, rows);
    I y0, y1, x0, x1;
    windows_at(y, p.y, y_stride, y0, y1);
    windows_at(x, p.x, x_stride, x0, x1);
    V sum[N] = {};
    for (I oy = y0; oy < y1; ++oy)
      for (I ox = x0; ox < x1; ++ox) {
        const I from = ((plane * p.y.outputs + oy) * p.x.outputs + ox) * depth + c;
        const int tap = static_cast<int>((y - p.y.start(oy)) * p.x.kernel + x - p.x.start(ox));
        const auto values = read<N>(input + from);
        const auto offsets = read<N>(switches + from);
        Pack<T, N> passes;
        if (gate != nullptr) passes = read<N>(gate + from);
        ZFCUDA_UNROLL
        for (int n = 0; n < N; ++n) {
          auto value = static_cast<V>(values.of[n]);
          if (gate != nullptr) value = gated(value, static_cast<V>(passes.of[n]));
          unpool_add(value, static_cast<int>(offsets.of[n]), tap, sum[n]);
        }
      }
    Pack<T, N> result;
    ZFCUDA_UNROLL
    for (int n = 0; n < N; ++n) result.of[n] = static_cast<T>(sum[n]);
    write(output + i * N, result);
  }
};

// Returns false where this is a case for Unpool.
template <class T, int N, class W, int Phase>
bool unpool_cells(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p, int64_t depth,
                  Tensor& output) {
  using Body = UnpoolCells<T, N, W, Phase>;
  constexpr int64_t S = W::kStride, kCells = Body::kCells;
  // Cells begin at a multiple of S elements (NCHW), or of S positions of the padded image (phase 0).
  const int64_t x_start = N == 1 ? 0 : -p.x.padding;
  const int64_t columns = (p.x.inputs - x_start + S - 1) / S, packs = depth / N;
  const int64_t groups = (p.y.inputs + p.y.padding + S * kCells - 1) / (S * kCells);
  const int64_t threads = p.batch * (p.channels / depth) * groups * columns * packs;
  if (!small(p, depth, threads)) return false;
  const bool whole = p.x.inputs % S == 0 && aligned(output.const_data_ptr(), S * sizeof(T));
  each<int>(static_cast<int>(threads), output,
            Body{input.const_data_ptr<T>(), switches.const_data_ptr<uint8_t>(),
                 (gate == nullptr ? input : *gate).const_data_ptr<T>(), gate != nullptr, output.mutable_data_ptr<T>(),
                 p.y.as<int>(), p.x.as<int>(), static_cast<int>(depth), static_cast<int>(x_start),
                 static_cast<int>((x_start + p.x.padding) / S), whole, Divider<int>(static_cast<int>(packs)),
                 Divider<int>(static_cast<int>(columns)), Divider<int>(static_cast<int>(groups))});
  return true;
}

}  // namespace

void Kernels::max_unpool(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p,
                         bool channels_last, Tensor& output) {
  if (output.numel() == 0) return;
  const int64_t depth = channels_last ? p.channels : 1;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    const bool packs = depth % kPack<T> == 0 && aligned(input.const_data_ptr()) &&
                       aligned(switches.const_data_ptr(), kPack<T>) &&
                       (gate == nullptr || aligned(gate->const_data_ptr()));
    bool done = false;
    with_square(p, [&](auto square) {
      using W = decltype(square);
      if (depth != 1 && packs) {
        done = unpool_cells<T, kPack<T>, W, 0>(input, switches, gate, p, depth, output);
      } else if (depth == 1 && p.x.padding % W::kStride == 0) {
        done = unpool_cells<T, 1, W, 0>(input, switches, gate, p, depth, output);
      } else if constexpr (W::kKernel > W::kStride) {  // else a padding is nobody's
        if (depth == 1 && p.x.padding % W::kStride == 1)
          done = unpool_cells<T, 1, W, 1>(input, switches, gate, p, depth, output);
      }
    });
    if (done) return;
    const auto run = [&](auto index, auto pack) {
      using I = decltype(index);
      constexpr int N = decltype(pack)::value;
      each<I>(static_cast<I>(output.numel() / N), output,
              Unpool<T, I, N>{input.const_data_ptr<T>(), switches.const_data_ptr<uint8_t>(),
                              gate == nullptr ? nullptr : gate->const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                              p.as<I>(), static_cast<I>(depth), Divider<I>(static_cast<I>(depth / N)),
                              Divider<I>(static_cast<I>(p.x.inputs)), Divider<I>(static_cast<I>(p.y.inputs)),
                              Divider<I>(static_cast<I>(p.y.stride)), Divider<I>(static_cast<I>(p.x.stride))});
    };
    with_index(larger(input, output).numel(), largest_stride(p), [&](auto index) {
      if (packs)
        run(index, std::integral_constant<int, kPack<T>>{});
      else
        run(index, std::integral_constant<int, 1>{});
    });
  });
}

}  // namespace zfcuda::cuda

// Square pooling windows of a size known at compile time: the elements of some windows, one below the other, in
// registers.
#pragma once

#include "cuda/launch.cuh"
#include "window.h"

namespace zfcuda::cuda {

#include "pooling.inl"

template <int K, int S>
struct Square {
  static constexpr int kKernel = K, kStride = S;
};

// Calls f with the Square that the windows are, and returns true; false where they are another one or none.
template <class F>
bool with_square(const Pooling& p, const F& f) {
  const auto are = [&](int64_t kernel, int64_t stride) {
    return p.y.kernel == kernel && p.x.kernel == kernel && p.y.stride == stride && p.x.stride == stride;
  };
  if (are(3, 2))
    f(Square<3, 2>{});
  else if (are(2, 2))
    f(Square<2, 2>{});
  else
    return false;
  return true;
}

// Whether a plane (NCHW) or image (channels_last) of `depth` channels, and this many threads, can be counted in 32
// bits.
inline bool small(const Pooling& p, int64_t depth, int64_t threads) {
  return fits_int32(p.y.inputs * p.x.inputs * depth) && fits_int32(p.y.outputs * p.x.outputs * depth) &&
         fits_int32(threads);
}

// Elements between neighbouring pixels: planes of NCHW go one by one, packs are of channels_last.
template <int N>
ZFCUDA_HOST_DEVICE int between_pixels(int depth) {
  return N == 1 ? 1 : depth;
}

ZFCUDA_HOST_DEVICE int clamped(int i, int count) {
  const int low = i > 0 ? i : 0, last = count - 1;
  return low < last ? low : last;
}

// R windows, one below the other, of N neighbouring channels: what they share is read once, all before the first use.
// An element outside the image is replaced by the nearest inside, which is one of the same window, with that one's
// offset: it is shown twice then, which changes no winner, and every load goes ahead without a question.
template <class T, int N, class W, int R>
struct WindowColumn {
  static constexpr int kKernel = W::kKernel, kRows = (R - 1) * W::kStride + kKernel;
  Pack<T, N> values[kRows][kKernel];
  int places[kRows][kKernel];                       // in the image
  int row_offsets[kRows], column_offsets[kKernel];  // in the switch of a window that began where the first begins

  // Which windows: (oy .. oy + R - 1, ox); `depth` elements are between neighbouring pixels.
  ZFCUDA_HOST_DEVICE WindowColumn(const WindowAxisOf<int>& y, const WindowAxisOf<int>& x, int depth, int oy, int ox) {
    const int y0 = oy * W::kStride - y.padding, x0 = ox * W::kStride - x.padding;
    ZFCUDA_UNROLL
    for (int k = 0; k < kKernel; ++k) column_offsets[k] = opaque(clamped(x0 + k, x.inputs) - x0);
    ZFCUDA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int row = clamped(y0 + r, y.inputs);
      row_offsets[r] = opaque((row - y0) * kKernel);
      ZFCUDA_UNROLL
      for (int k = 0; k < kKernel; ++k)
        places[r][k] = opaque((row * x.inputs + x0 + column_offsets[k]) * between_pixels<N>(depth));
    }
  }

  ZFCUDA_HOST_DEVICE void load(const T* image) {
    image = opaque(image);
    ZFCUDA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      ZFCUDA_UNROLL
      for (int k = 0; k < kKernel; ++k) values[r][k] = read<N>(image + opaque(places[r][k]));
    }
  }
};

// The winner of each row of a WindowColumn, and of its windows from those: torch's rule is one of order, so that the
// best of the rows' best is the best of all.
template <class T, int N, class W, int R>
struct RowWinners {
  using V = Number<T>;
  using Column = WindowColumn<T, N, W, R>;
  V best[Column::kRows][N];
  int offset[Column::kRows][N];

  ZFCUDA_HOST_DEVICE explicit RowWinners(const Column& column) {
    ZFCUDA_UNROLL
    for (int r = 0; r < Column::kRows; ++r) {
      ZFCUDA_UNROLL
      for (int n = 0; n < N; ++n) {
        best[r][n] = static_cast<V>(column.values[r][0].of[n]);
        int at = column.column_offsets[0];
        ZFCUDA_UNROLL
        for (int k = 1; k < Column::kKernel; ++k)
          pool_take(static_cast<V>(column.values[r][k].of[n]), column.column_offsets[k], best[r][n], at);
        offset[r][n] = column.row_offsets[r] + at;
      }
    }
  }

  // Window o of the R, channel n: its winner, which has to beat `start`, and its switch.
  ZFCUDA_HOST_DEVICE void window(const Column& column, int o, int n, V start, V& winner, int& at) const {
    const int first = o * W::kStride;
    winner = start;
    at = column.row_offsets[first] + column.column_offsets[0];
    ZFCUDA_UNROLL
    for (int r = first; r < first + Column::kKernel; ++r) pool_take(best[r][n], offset[r][n], winner, at);
    at -= first * Column::kKernel;
  }
};

}  // namespace zfcuda::cuda

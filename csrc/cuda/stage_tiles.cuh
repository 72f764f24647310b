// The fused stage over windows of a known size and five channels, channels_last. A block: the winners of a tile of
// columns, two windows each, all channels, into shared memory; then their normalisation. A thread: a pack of channels;
// the next thread: the next pack, then the window on the right.
#pragma once

#include <algorithm>

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"
#include "cuda/windows.cuh"
#include "window.h"

namespace zfcuda::cuda {

template <class T, class W>
struct StageTiles {
  using V = Number<T>;
  static constexpr int N = kPack<T>, kRows = 2;
  const T* input;
  T* output;
  uint8_t* switches;
  T* pooled;
  WindowAxisOf<int> y, x;
  int channels, all, tile;  // all: columns of all images; tile: columns of a block
  Divider<int> packs, columns, groups;
  Settings<V> norm;

  struct Item {
    int c, column, oy, ox;  // column: of the tile
    int64_t image;
  };
  ZFCUDA_HOST_DEVICE Item item(int i, int first) const {
    Item at;
    at.c = take(i, packs) * N;
    at.column = i;
    int column = first + i;
    at.ox = take(column, columns);
    at.oy = take(column, groups) * kRows;
    at.image = column;
    return at;
  }
  // Where the item's first window lies in the outputs.
  ZFCUDA_HOST_DEVICE int64_t place(const Item& at) const {
    return (at.image * (y.outputs * x.outputs) + at.oy * x.outputs + at.ox) * channels + at.c;
  }
  ZFCUDA_HOST_DEVICE int64_t next_row() const { return static_cast<int64_t>(x.outputs) * channels; }

  // Phase 1: pooling. winners: [tile][kRows][channels].
  ZFCUDA_HOST_DEVICE void pool(const Item& at, T* winners) const {
    WindowColumn<T, N, W, kRows> column(y, x, channels, at.oy, at.ox);
    column.load(input + at.image * (y.inputs * x.inputs * channels) + at.c);
    const RowWinners<T, N, W, kRows> rows(column);
    ZFCUDA_UNROLL
    for (int o = 0; o < kRows; ++o) {
      if (at.oy + o >= y.outputs) break;
      Pack<T, N> best;
      Pack<uint8_t, N> offsets;
      ZFCUDA_UNROLL
      for (int n = 0; n < N; ++n) {
        V winner;
        int offset;
        rows.window(column, o, n, V(0), winner, offset);
        best.of[n] = static_cast<T>(winner);
        offsets.of[n] = static_cast<uint8_t>(offset);
      }
      write(winners + (at.column * kRows + o) * channels + at.c, best);
      write(switches + place(at) + o * next_row(), offsets);
      if (pooled != nullptr) write(pooled + place(at) + o * next_row(), best);
    }
  }

  // Phase 2: normalisation over the winners' neighbouring channels.
  ZFCUDA_HOST_DEVICE void normalise(const Item& at, const T* winners) const {
    ZFCUDA_UNROLL
    for (int o = 0; o < kRows; ++o) {
      if (at.oy + o >= y.outputs) break;
      V around[N + 2 * kSide];
      neighbours<1, N>(winners + (at.column * kRows + o) * channels + at.c, at.c, channels, around);
      Pack<T, N> result;
      ZFCUDA_UNROLL
      for (int n = 0; n < N; ++n) {
        const V squares = squares_of_five<V>([&](int j) { return around[n + j]; });
        result.of[n] = static_cast<T>(normalised_by_five(around[n + kSide], squares, norm));
      }
      write(output + place(at) + o * next_row(), result);
    }
  }
};

template <class T, class W>
__global__ void __launch_bounds__(kThreads, 2) stage_tiles_kernel(StageTiles<T, W> stage) {
  T* winners = shared_memory<T>();
  const int step = static_cast<int>(gridDim.x) * stage.tile;
  for (int first = static_cast<int>(blockIdx.x) * stage.tile; first < stage.all;) {
    const int count = stage.all - first < stage.tile ? stage.all - first : stage.tile;
    const int items = count * stage.packs.divisor();
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x))
      stage.pool(stage.item(i, first), winners);
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x))
      stage.normalise(stage.item(i, first), winners);
    __syncthreads();
    if (stage.all - first <= step) break;
    first += step;
  }
}

// Launches stage_tiles_kernel; returns false where this is a case for another kernel.
template <class T, class W>
bool stage_tiles(const at::Tensor& input, const Pooling& p, const Norm& norm, at::Tensor& output, at::Tensor& switches,
                 at::Tensor* pooled) {
  if (p.channels % kPack<T> != 0 || !aligned(input.const_data_ptr())) return false;
  constexpr int64_t kRows = StageTiles<T, W>::kRows;
  const int64_t groups = (p.y.outputs + kRows - 1) / kRows, all = p.batch * groups * p.x.outputs;
  const int64_t packs = p.channels / kPack<T>;
  const int64_t bytes = kRows * p.channels * static_cast<int64_t>(sizeof(T));  // of a column
  const int64_t tile = std::min(std::max<int64_t>(kThreads / packs, 1), kShared / bytes);
  if (tile == 0 || !small(p, p.channels, all)) return false;
  launch(stage_tiles_kernel<T, W>, (all + tile - 1) / tile, static_cast<size_t>(tile * bytes), input,
         StageTiles<T, W>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(), switches.mutable_data_ptr<uint8_t>(),
                          pooled == nullptr ? nullptr : pooled->mutable_data_ptr<T>(), p.y.as<int>(), p.x.as<int>(),
                          static_cast<int>(p.channels), static_cast<int>(all), static_cast<int>(tile),
                          Divider<int>(static_cast<int>(packs)), Divider<int>(static_cast<int>(p.x.outputs)),
                          Divider<int>(static_cast<int>(groups)), Settings<Number<T>>(norm)});
  return true;
}

}  // namespace zfcuda::cuda

// The fused stage on the GPU: ReLU -> pooling -> local response normalisation, the pooled maps never written unless
// asked for.
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"
#include "cuda/windows.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

constexpr int64_t kShared = 48 * 1024;  // what every GPU gives a block without asking

// ---------------------------------------------------------------- windows of a known size, five channels, NCHW
// A thread: two windows, one below the other, along a chunk of channels; the winners that are still needed stay in
// registers. The next thread: the windows on the right.

template <class T, class W>
struct StageWalk {
  using V = Number<T>;
  static constexpr int kRows = 2;
  // Of 16 bits, more threads have to wait to keep the memory busy; registers are enough for them before Blackwell.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
  static constexpr int kBlocks = 2;
#else
  static constexpr int kBlocks = sizeof(T) == 2 ? 3 : 2;
#endif
  const T* input;
  T* output;
  uint8_t* switches;
  T* pooled;  // something writable where it is not kept
  bool keep;
  WindowAxisOf<int> y, x;
  int channels, chunk;  // chunk: channels of a thread
  Divider<int> columns, groups, chunks;
  Settings<V> norm;

  ZFCUDA_HOST_DEVICE void operator()(int i) const {
    const int ox = take(i, columns), oy = take(i, groups) * kRows, first = take(i, chunks) * chunk;
    const int last = channels - first < chunk ? channels : first + chunk;
    const int begin = first < kSide ? 0 : first - kSide, end = channels - last < kSide ? channels : last + kSide;
    const int64_t plane = static_cast<int64_t>(i) * channels;
    const int inputs = y.inputs * x.inputs, outputs = y.outputs * x.outputs;
    const int rows_left = y.outputs - oy;
    // The first element of channel c to be read, and of the windows' first in channel c - 2 to be written.
    const T* picture = input + (plane + begin) * inputs;
    int64_t at = (plane + begin - kSide) * outputs + oy * x.outputs + ox;

    WindowColumn<T, 1, W, kRows> column(y, x, 1, oy, ox);
    column.load(picture);
    V winners[kRows][kFive] = {};  // of channels c - 4 .. c
    for (int c = begin; c < last + kSide; ++c, at += outputs) {
      ZFCUDA_UNROLL
      for (int o = 0; o < kRows; ++o) {
        ZFCUDA_UNROLL
        for (int j = 0; j + 1 < kFive; ++j) winners[o][j] = winners[o][j + 1];
        winners[o][kFive - 1] = 0;
      }
      if (c < end) {
        const RowWinners<T, 1, W, kRows> rows(column);
        picture += inputs;
        // On their way while this channel is worked at.
        if (c + 1 < end) column.load(picture);
        const bool mine = c >= first && c < last;
        const int64_t now = at + kSide * static_cast<int64_t>(outputs);
        uint8_t* const to_switches = opaque(switches + now);
        T* const to_pooled = opaque(pooled + now);
        ZFCUDA_UNROLL
        for (int o = 0; o < kRows; ++o) {
          int offset;
          rows.window(column, o, 0, V(0), winners[o][kFive - 1], offset);
          if (mine && o < rows_left) {
            to_switches[o * x.outputs] = static_cast<uint8_t>(offset);
            if (keep) to_pooled[o * x.outputs] = static_cast<T>(winners[o][kFive - 1]);
          }
        }
      }
      if (c < first + kSide) continue;
      T* const to = opaque(output + at);
      ZFCUDA_UNROLL
      for (int o = 0; o < kRows; ++o) {
        const V squares = squares_of_five<V>([&](int j) { return winners[o][j]; });
        const T result = static_cast<T>(normalised_by_five(winners[o][kSide], squares, norm));
        if (o < rows_left) to[o * x.outputs] = result;
      }
    }
  }
};

// ---------------------------------------------------------------- the same, channels_last
// A block: the winners of a tile of columns, two windows each, all channels, into shared memory; then their
// normalisation. A thread: a pack of channels; the next thread: the next pack, then the window on the right.

template <class T, class W>
struct StageTiles {
  using V = Number<T>;
  static constexpr int N = kPack<T>, kRows = 2;
  const T* input;
  T* output;
  uint8_t* switches;
  T* pooled;
  WindowAxisOf<int> y, x;
  int channels, all, tile;  // all: columns of all pictures; tile: columns of a block
  Divider<int> packs, columns, groups;
  Settings<V> norm;

  struct Item {
    int c, column, oy, ox;  // column: of the tile
    int64_t picture;
  };
  ZFCUDA_HOST_DEVICE Item item(int i, int first) const {
    Item at;
    at.c = take(i, packs) * N;
    at.column = i;
    int column = first + i;
    at.ox = take(column, columns);
    at.oy = take(column, groups) * kRows;
    at.picture = column;
    return at;
  }
  // Of the item's first window.
  ZFCUDA_HOST_DEVICE int64_t place(const Item& at) const {
    return (at.picture * (y.outputs * x.outputs) + at.oy * x.outputs + at.ox) * channels + at.c;
  }
  ZFCUDA_HOST_DEVICE int64_t next_row() const { return static_cast<int64_t>(x.outputs) * channels; }

  // winners: [tile][kRows][channels].
  ZFCUDA_HOST_DEVICE void pool(const Item& at, T* winners) const {
    WindowColumn<T, N, W, kRows> column(y, x, channels, at.oy, at.ox);
    column.load(input + at.picture * (y.inputs * x.inputs * channels) + at.c);
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

// ---------------------------------------------------------------- any windows, size, exponent and layout

template <class T, class I>
struct Stage {
  using V = Number<T>;
  const T* input;
  T* output;
  uint8_t* switches;
  T* pooled;
  PoolingOf<I> p;
  I depth;        // memory order as in switches.cu: 1, or C for channels_last
  I pixels;       // batch * Ho * Wo
  int per_block;  // pixels of one block
  Divider<I> columns, rows;
  Settings<V> norm;

  // Output element (pixel of all pictures, channel) in memory.
  ZFCUDA_HOST_DEVICE I place(I pixel, I c) const {
    if (depth != 1) return pixel * p.channels + c;
    const I area = p.y.outputs * p.x.outputs, picture = rows.quotient(columns.quotient(pixel));
    return (picture * p.channels + c) * area + pixel - picture * area;
  }

  ZFCUDA_HOST_DEVICE V winner(I pixel, I c) const {
    I picture = pixel;
    const I ox = take(picture, columns), oy = take(picture, rows);
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

// One block: the winners of `per_block` neighbouring pixels, all channels, into shared memory; then their
// normalisation. Threads run along what is contiguous: pixels (NCHW) or channels (channels_last).
template <class T, class I>
__global__ void __launch_bounds__(kThreads, 2) stage_kernel(Stage<T, I> stage) {
  using V = Number<T>;
  V* winners = shared_memory<V>();  // [channels][per_block + 1]: the + 1 keeps the banks apart
  const int channels = static_cast<int>(stage.p.channels), row = stage.per_block + 1;
  const I groups = (stage.pixels + stage.per_block - 1) / stage.per_block;
  for (I group = blockIdx.x; group < groups; group += gridDim.x) {
    const I first = group * stage.per_block;
    const I left = stage.pixels - first;
    const int count = static_cast<int>(left < stage.per_block ? left : stage.per_block);
    const int items = count * channels;
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x)) {
      const int c = stage.depth == 1 ? i / count : i % channels, pixel = stage.depth == 1 ? i % count : i / channels;
      winners[c * row + pixel] = stage.winner(first + pixel, c);
    }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x)) {
      const int c = stage.depth == 1 ? i / count : i % channels, pixel = stage.depth == 1 ? i % count : i / channels;
      const V* x = winners + c * row + pixel;
      const V squares = squares_around(x, 0, c, channels, row, stage.norm);
      stage.output[stage.place(first + pixel, c)] = static_cast<T>(normalised(*x, squares, stage.norm));
    }
    __syncthreads();
  }
}

// ---------------------------------------------------------------- launchers: false where the case is another's

template <class T, class W>
bool stage_walk(const Tensor& input, const Pooling& p, const Norm& norm, Tensor& output, Tensor& switches,
                Tensor* pooled) {
  constexpr int64_t kRows = StageWalk<T, W>::kRows;
  const int64_t groups = (p.y.outputs + kRows - 1) / kRows, walks = p.batch * groups * p.x.outputs;
  const int64_t chunk = chunk_of_channels(walks, p.channels), chunks = (p.channels + chunk - 1) / chunk;
  if (!small(p, 1, walks * chunks)) return false;
  T* to = output.mutable_data_ptr<T>();
  each<int>(static_cast<int>(walks * chunks), input,
            StageWalk<T, W>{input.const_data_ptr<T>(), to, switches.mutable_data_ptr<uint8_t>(),
                            pooled == nullptr ? to : pooled->mutable_data_ptr<T>(), pooled != nullptr, p.y.as<int>(),
                            p.x.as<int>(), static_cast<int>(p.channels), static_cast<int>(chunk),
                            Divider<int>(static_cast<int>(p.x.outputs)), Divider<int>(static_cast<int>(groups)),
                            Divider<int>(static_cast<int>(chunks)), Settings<Number<T>>(norm)});
  return true;
}

template <class T, class W>
bool stage_tiles(const Tensor& input, const Pooling& p, const Norm& norm, Tensor& output, Tensor& switches,
                 Tensor* pooled) {
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

template <class T>
bool stage_any(const Tensor& input, const Pooling& p, const Norm& norm, int64_t depth, Tensor& output, Tensor& switches,
               Tensor* pooled) {
  constexpr auto number = static_cast<int64_t>(sizeof(Number<T>));
  const int64_t room = kShared / (p.channels * number) - 1;  // pixels of one block
  if (room < 1) return false;
  const int64_t per_block = std::min<int64_t>(room, 32), pixels = p.batch * p.y.outputs * p.x.outputs;
  with_index(larger(input, output).numel(), largest_stride(p), [&](auto index) {
    using I = decltype(index);
    launch(stage_kernel<T, I>, (pixels + per_block - 1) / per_block,
           static_cast<size_t>(p.channels * (per_block + 1) * number), input,
           Stage<T, I>{input.const_data_ptr<T>(), output.mutable_data_ptr<T>(), switches.mutable_data_ptr<uint8_t>(),
                       pooled == nullptr ? nullptr : pooled->mutable_data_ptr<T>(), p.as<I>(), static_cast<I>(depth),
                       static_cast<I>(pixels), static_cast<int>(per_block), Divider<I>(static_cast<I>(p.x.outputs)),
                       Divider<I>(static_cast<I>(p.y.outputs)), Settings<Number<T>>(norm)});
  });
  return true;
}

}  // namespace

void Kernels::relu_max_pool_lrn(const Tensor& input, const Pooling& p, const Norm& norm, bool channels_last,
                                Tensor& output, Tensor& switches, Tensor* pooled) {
  if (output.numel() == 0) return;
  const int64_t depth = channels_last ? p.channels : 1;
  bool done = false;
  with_type(input.scalar_type(), [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    with_square(p, [&](auto square) {
      using W = decltype(square);
      if (usual(norm))
        done = channels_last ? stage_tiles<T, W>(input, p, norm, output, switches, pooled)
                             : stage_walk<T, W>(input, p, norm, output, switches, pooled);
    });
    if (!done) done = stage_any<T>(input, p, norm, depth, output, switches, pooled);
  });
  if (done) return;
  // Thousands of channels: in two passes.
  Tensor kept = pooled == nullptr ? at::empty_like(output) : *pooled;
  max_pool(input, p, true, channels_last, kept, switches);
  lrn(kept, norm, channels_last, output);
}

}  // namespace zfcuda::cuda

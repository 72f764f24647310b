// The fused stage on the GPU: ReLU -> pooling -> local response normalisation, the pooled maps never written unless
// asked for. Here the kernel for every case; stage_walk.cuh and stage_tiles.cuh have the fast ones.
#include <ATen/ops/empty_like.h>

#include <algorithm>

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"
#include "cuda/stage_tiles.cuh"
#include "cuda/stage_walk.cuh"
#include "cuda/windows.cuh"
#include "kernels.h"
#include "window.h"

namespace zfcuda::cuda {
namespace {

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

  // Where output element (pixel of all images, channel) lies in memory.
  ZFCUDA_HOST_DEVICE I place(I pixel, I c) const {
    if (depth != 1) return pixel * p.channels + c;
    const I area = p.y.outputs * p.x.outputs, image = rows.quotient(columns.quotient(pixel));
    return (image * p.channels + c) * area + pixel - image * area;
  }

  // Pools one element: writes its switch, and itself where asked; returns it.
  ZFCUDA_HOST_DEVICE V winner(I pixel, I c) const {
    I image = pixel;
    const I ox = take(image, columns), oy = take(image, rows);
    const I y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy), x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
    V best = 0;  // the ReLU
    int at = static_cast<int>(y0 * p.x.kernel + x0);
    const I plane = depth == 1 ? image * p.channels + c : image, offset = depth == 1 ? 0 : c;
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
    // Phase 1: pooling, the winners into shared memory.
    for (int i = static_cast<int>(threadIdx.x); i < items; i += static_cast<int>(blockDim.x)) {
      const int c = stage.depth == 1 ? i / count : i % channels, pixel = stage.depth == 1 ? i % count : i / channels;
      winners[c * row + pixel] = stage.winner(first + pixel, c);
    }
    // Phase 2: each winner is normalised by those of its neighbouring channels.
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

// ---------------------------------------------------------------- which kernel takes a case

// Launches stage_kernel; returns false where a block has no room for the channels of one pixel.
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

// The fused stage over windows of a known size and five channels, NCHW. A thread: two windows, one below the other,
// along a chunk of channels; the winners that are still needed stay in registers. The next thread: the windows on the
// right.
#pragma once

#include "cuda/divide.cuh"
#include "cuda/launch.cuh"
#include "cuda/lrn.cuh"
#include "cuda/windows.cuh"
#include "window.h"

namespace zfcuda::cuda {

template <class T, class W>
struct StageWalk {
  using V = Number<T>;
  static constexpr int kRows = 2;
  // With 16 bits, more threads have to wait to keep the memory busy; registers are enough for them before Blackwell.
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
    // Phase 1: which windows and channels are this thread's. It pools two channels more on each side.
    const int ox = take(i, columns), oy = take(i, groups) * kRows, first = take(i, chunks) * chunk;
    const int last = channels - first < chunk ? channels : first + chunk;
    const int begin = first < kSide ? 0 : first - kSide, end = channels - last < kSide ? channels : last + kSide;
    const int64_t plane = static_cast<int64_t>(i) * channels;
    const int inputs = y.inputs * x.inputs, outputs = y.outputs * x.outputs;
    const int rows_left = y.outputs - oy;
    // Where channel c is read, and where the first window's winner in channel c - 2 is written.
    const T* image = input + (plane + begin) * inputs;
    int64_t at = (plane + begin - kSide) * outputs + oy * x.outputs + ox;

    // Phase 2: along the channels, the winners of the last five in registers.
    WindowColumn<T, 1, W, kRows> column(y, x, 1, oy, ox);
    column.load(image);
    V winners[kRows][kFive] = {};  // of channels c - 4 .. c
    for (int c = begin; c < last + kSide; ++c, at += outputs) {
      ZFCUDA_UNROLL
      for (int o = 0; o < kRows; ++o) {
        ZFCUDA_UNROLL
        for (int j = 0; j + 1 < kFive; ++j) winners[o][j] = winners[o][j + 1];
        winners[o][kFive - 1] = 0;
      }
      // Channel c is pooled.
      if (c < end) {
        const RowWinners<T, 1, W, kRows> rows(column);
        image += inputs;
        // The next channel's elements are on their way while this channel is worked at.
        if (c + 1 < end) column.load(image);
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
      // Channel c - 2 is normalised, of which all neighbours stand now.
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

// Launches StageWalk; returns false where this is a case for another kernel.
template <class T, class W>
bool stage_walk(const at::Tensor& input, const Pooling& p, const Norm& norm, at::Tensor& output, at::Tensor& switches,
                at::Tensor* pooled) {
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

}  // namespace zfcuda::cuda

// 1x1 convolution of patches on the CPU, in float32. Nothing is copied: each row of the product is read where it lies,
// in a patch or in the map, of each of the maps whose channels the filters read together. Only where the numbers change
// before they meet the filters are the rows of a portion written anew, into memory that stays in the cache.
#include "cpu/pointwise_patches.h"

#include <algorithm>
#include <vector>

#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/tables.h"

#define ZFCUDA_LOOPS "cpu/pointwise_patches_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

// Rows that one thread takes at once: enough to make reading the filters worth it, few enough that their inputs stay in
// its cache.
constexpr int64_t kLeastRows = 96, kMostRows = 384, kNumbers = 64 << 10;
// Multiplications of one portion that are worth a thread.
constexpr int64_t kWorth = 4 << 20;

int64_t panel() {
#if defined(__x86_64__)
  switch (chosen_isa()) {
    case Isa::avx512: return avx512::kPanel;
    case Isa::avx2: return avx2::kPanel;
    case Isa::baseline: break;
  }
#endif
  return baseline::kPanel;
}

struct Work {
  std::vector<const float*> inputs;
  std::vector<float> prepared;
};

// Where the rows [first, first + count) find their channels.
void find(const PointwisePatches& p, int64_t windows, int64_t first, int64_t count, const float** inputs) {
  each_wanted(p.want, windows, first, first + count, [&](int64_t row, int64_t window, int64_t y, int64_t x) {
    for (int64_t i = 0; i < p.count; ++i) {
      const PointwiseSource& s = p.sources[i];
      const Rectangle have = Rectangle::of(s.have, window);
      const int64_t iy = y * p.stride_y, ix = x * p.stride_x;
      inputs[i * count + row - first] = have.holds(iy, ix)
                                            ? s.patches + static_cast<int64_t>(have.place(iy, ix)) * s.channels
                                            : s.base + (iy * s.width + ix) * s.channels;
    }
  });
}

// Rewrites the rows as the prologue makes them, as one source.
void prepare(const PointwisePatches& p, const int64_t* lengths, int64_t count, Work& work) {
  // Rows a page apart would push each other out of the cache.
  const int64_t pitch = p.channels % 512 == 0 ? p.channels + 16 : p.channels;
  if (static_cast<int64_t>(work.prepared.size()) < count * pitch) work.prepared.resize(count * pitch);
  int64_t channel = 0;
  for (int64_t i = 0; i < p.count; channel += lengths[i++]) {
    const float* const scale = p.prologue.scale == nullptr ? nullptr : p.prologue.scale + channel;
    const float* const shift = p.prologue.scale == nullptr ? nullptr : p.prologue.shift + channel;
    ZFCUDA_ISA_CALL(prepare_rows(work.inputs.data() + i * count, count, lengths[i], scale, shift, p.prologue.relu,
                                 work.prepared.data() + channel, pitch));
  }
  for (int64_t row = 0; row < count; ++row) work.inputs[row] = work.prepared.data() + row * pitch;
}

}  // namespace

void pointwise_patches(const PointwisePatches& p, int64_t windows, int64_t rows) {
  const int64_t threads = at::get_num_threads(), panels = (p.outputs + panel() - 1) / panel();
  const int64_t most = std::clamp(kNumbers / p.channels, kLeastRows, kMostRows);
  int64_t portions = (rows + most - 1) / most;
  // As many for each thread; where there are too few, several threads take one, each some of its outputs.
  const bool worth = rows * p.channels * p.outputs >= threads * kWorth;
  if (worth && portions > threads) portions = (portions + threads - 1) / threads * threads;
  const int64_t shares = worth && portions < threads ? std::min(threads, panels) : 1;
  std::vector<int64_t> lengths(p.count);
  for (int64_t i = 0; i < p.count; ++i) lengths[i] = p.sources[i].channels;
  at::parallel_for(0, portions * shares, 1, [&](int64_t begin, int64_t end) {
    Work work;
    for (int64_t each = begin; each < end; ++each) {
      const int64_t i = each / shares, share = each % shares;
      const int64_t first = rows * i / portions, count = rows * (i + 1) / portions - first;
      work.inputs.resize(p.count * count);
      find(p, windows, first, count, work.inputs.data());
      const bool changed = p.prologue.any();
      if (changed) prepare(p, lengths.data(), count, work);
      const PointwiseRows w{work.inputs.data(), changed ? &p.channels : lengths.data(), changed ? 1 : p.count, first, count,
                            panels * share / shares, panels * (share + 1) / shares};
      ZFCUDA_ISA_CALL(pointwise_rows(p, w));
    }
  });
}

}  // namespace zfcuda::cpu

// Convolution of patches in groups of channels on the CPU, in float32. With a filter per channel what it reads stays
// where it is: a table says where each position lies, in the patch, in the map or in a line of zeros. Larger groups are
// read into working memory, one after the other, and multiplied there.
#include "cpu/grouped_patches.h"

#include <vector>

#include "cpu/parallel.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/grouped_patches_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

// Outputs of one piece with a filter per channel, numbers of a piece's working memory with larger groups.
constexpr int64_t kOutputs = 32 << 10, kInputs = 24 << 10;
// Multiplications of one piece that are worth a thread.
constexpr int64_t kWorth = 256 << 10;

int64_t lanes() {
  int64_t count = 0;
#if defined(__x86_64__)
  switch (chosen_isa()) {
    case Isa::avx512: count = avx512::kLanes; break;
    case Isa::avx2: count = avx2::kLanes; break;
    case Isa::baseline: count = baseline::kLanes; break;
  }
#else
  count = baseline::kLanes;
#endif
  return count;
}

// Some lines of one window's wanted rectangle: y0, x0 and lines, columns are those of its inputs.
struct Piece {
  int64_t window, row, height, width;
  int64_t y0, x0, lines, columns;
};

std::vector<Piece> pieces_of(const GroupedConv& p, int64_t windows) {
  const bool depthwise = p.groups.depthwise();
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < windows; ++i) {
    const Rectangle w = Rectangle::of(p.want, i);
    if (w.empty()) continue;
    const int64_t height = w.bottom - w.top, width = w.right - w.left, columns = (width - 1) * p.x.stride + p.x.reach();
    const int64_t line = depthwise ? width * p.channels() : columns * p.y.stride * p.groups.pitch();
    const int64_t most = std::clamp<int64_t>((depthwise ? kOutputs : kInputs) / line, 1, height);
    const int64_t parts = (height + most - 1) / most;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = height * part / parts, past = height * (part + 1) / parts;
      pieces.push_back({i, w.start + first * width, past - first, width, (w.top + first) * p.y.stride - p.y.padding,
                        w.left * p.x.stride - p.x.padding, (past - first - 1) * p.y.stride + p.y.reach(), columns});
    }
  }
  return pieces;
}

// Where the channels of each position that a piece reads lie.
void find_inputs(const GroupedConv& p, const Piece& piece, const float* zeros, std::vector<const float*>& inputs) {
  const Rectangle have = Rectangle::of(p.have, piece.window);
  const int64_t channels = p.channels(), columns = piece.columns, x0 = piece.x0;
  inputs.resize(piece.lines * columns);
  const float** to = inputs.data();
  const int64_t m0 = std::clamp<int64_t>(-x0, 0, columns), m1 = std::clamp(p.x.inputs - x0, m0, columns);
  for (int64_t y = piece.y0; y < piece.y0 + piece.lines; ++y, to += columns) {
    if (y < 0 || y >= p.y.inputs) {
      std::fill_n(to, columns, zeros);
      continue;
    }
    // Left to right: padding, map, patch, map, padding.
    const bool in_patch = !have.empty() && y >= have.top && y < have.bottom;  // an empty one may lie anywhere
    const int64_t p0 = in_patch ? std::clamp(have.left - x0, m0, m1) : m1;
    const int64_t p1 = in_patch ? std::clamp(have.right - x0, p0, m1) : m1;
    std::fill(to, to + m0, zeros);
    const auto run = [&](int64_t from, int64_t past, const float* at) {
      for (int64_t i = from; i < past; ++i, at += channels) to[i] = at;
    };
    if (p0 > m0) run(m0, p0, p.base + (y * p.x.inputs + x0 + m0) * channels);
    if (p1 > p0) run(p0, p1, p.patches + static_cast<int64_t>(have.place(y, x0 + p0)) * channels);
    if (m1 > p1) run(p1, m1, p.base + (y * p.x.inputs + x0 + p1) * channels);
    std::fill(to + m1, to + columns, zeros);
  }
}

struct Work {
  std::vector<const float*> inputs, rows;
  std::vector<float> read;
  std::vector<int64_t> outputs, offsets;
};

void depthwise(const GroupedConv& p, const Piece& piece, const Work& work) {
  for (int64_t y = 0; y < piece.height; ++y) {
    const DepthwiseLine line{work.inputs.data() + y * p.y.stride * piece.columns, piece.columns, piece.width,
                             piece.row + y * piece.width};
    ZFCUDA_ISA_CALL(depthwise_line(p, line));
  }
}

void units(const GroupedConv& p, const Piece& piece, int64_t first, int64_t past, Work& work) {
  const int64_t positions = piece.lines * piece.columns, pitch = p.groups.pitch();
  if (static_cast<int64_t>(work.read.size()) < positions * pitch) work.read.resize(positions * pitch);
  work.outputs.clear();
  work.offsets.clear();
  work.rows.clear();
  for (int64_t y = 0; y < piece.height; ++y)
    for (int64_t x = 0; x < piece.width; ++x) {
      work.outputs.push_back(piece.row + y * piece.width + x);
      work.rows.push_back(work.read.data() + (y * p.y.stride * piece.columns + x * p.x.stride) * pitch);
    }
  // A line of taps is one run where nothing is dilated.
  const bool runs = p.x.dilation == 1;
  for (int64_t ky = 0; ky < p.y.kernel; ++ky)
    for (int64_t kx = 0; kx < (runs ? 1 : p.x.kernel); ++kx)
      work.offsets.push_back((ky * p.y.dilation * piece.columns + kx * p.x.dilation) * pitch);
  for (int64_t unit = first; unit < past; ++unit) {
    ZFCUDA_ISA_CALL(read_unit(p, work.inputs.data(), positions, unit, work.read.data()));
    const UnitWork w{work.rows.data(), work.outputs.data(), static_cast<int64_t>(work.rows.size()), work.offsets.data(),
                     static_cast<int64_t>(work.offsets.size()), runs ? p.x.kernel * p.groups.inputs : p.groups.inputs, unit};
    ZFCUDA_ISA_CALL(unit_rows(p, w));
  }
}

}  // namespace

Groups groups_of(int64_t inputs, int64_t outputs, int64_t groups) { return {inputs, outputs, groups, lanes()}; }

void pack_grouped(const Tensor& weight, const Groups& groups, Tensor& packed) {
  const int64_t taps = weight.size(2) * weight.size(3);
  const float* from = weight.const_data_ptr<float>();
  float* to = packed.mutable_data_ptr<float>();
  if (groups.depthwise()) {
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < groups.count; ++c) *to++ = from[c * taps + t];
    return;
  }
  parallel(groups.units(), groups.packed_size(taps) / groups.units(), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) ZFCUDA_ISA_CALL(pack_unit(from, groups, taps, to, unit));
  });
}

void grouped_patches(const GroupedConv& p, int64_t windows) {
  const std::vector<Piece> pieces = pieces_of(p, windows);
  const int64_t count = static_cast<int64_t>(pieces.size()), threads = at::get_num_threads();
  const bool by_channel = p.groups.depthwise();
  int64_t work = 0;
  for (const Piece& piece : pieces) work += piece.height * piece.width;
  work *= p.outputs() * p.groups.inputs * p.y.kernel * p.x.kernel;
  // Where there are too few pieces for the threads, several take one, each some of its units.
  const bool few = count < 4 * threads && count % threads != 0 && work >= kWorth * threads;
  const int64_t all = by_channel ? 1 : p.groups.units(), shares = few ? std::min(threads, all) : 1;
  const int64_t grain = count > 0 ? std::max<int64_t>(1, kWorth / std::max<int64_t>(1, work / (count * shares))) : 1;
  const std::vector<float> zeros(p.channels(), 0.0f);
  at::parallel_for(0, count * shares, grain, [&](int64_t begin, int64_t end) {
    Work memory;
    for (int64_t i = begin; i < end; ++i) {
      const Piece& piece = pieces[i / shares];
      const int64_t share = i % shares;
      find_inputs(p, piece, zeros.data(), memory.inputs);
      if (by_channel)
        depthwise(p, piece, memory);
      else
        units(p, piece, all * share / shares, all * (share + 1) / shares, memory);
    }
  });
}

}  // namespace zfcuda::cpu

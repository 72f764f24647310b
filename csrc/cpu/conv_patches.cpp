// Convolution of patches on the CPU, in float32. Each window's inputs are read into working memory, where nothing is
// left of maps, patches and padding; what remains is one matrix product over the rows of many windows, whatever their
// sizes.
#include "cpu/conv_patches.h"

#include "cpu/parallel.h"
#include "cpu/patch_lines.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/conv_patches_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

// Outputs that one thread computes at once: enough rows to make reading the filters worth it, few enough that their
// inputs stay in its cache.
constexpr int64_t kRows = 112, kInputs = 192 << 10;

struct Work {
  std::vector<float> inputs;
  std::vector<const float*> rows;
  std::vector<int64_t> outputs, offsets;
};

// The windows in pieces, and the first piece of each thread's next portion.
struct Pieces {
  std::vector<Placed> strips;
  std::vector<int64_t> portions;
};

Pieces pieces_of(const PatchConv& p, int64_t windows) {
  Pieces pieces;
  int64_t rows = 0, inputs = 0;
  for (int64_t i = 0; i < windows; ++i) {
    const Rectangle w = Rectangle::of(p.want, i);
    if (w.empty()) continue;
    const int64_t width = w.right - w.left, height = w.bottom - w.top;
    const int64_t columns = (width - 1) * p.x.stride + p.x.reach();
    // A large rectangle in several, each as high as the limits allow.
    const auto lines_of = [&](int64_t height) { return (height - 1) * p.y.stride + p.y.reach(); };
    int64_t most = std::clamp<int64_t>((kRows + width / 2) / width, 1, height);
    while (most > 1 && lines_of(most) * columns * p.pitch() > kInputs) --most;
    const int64_t parts = (height + most - 1) / most;
    const int64_t each = (height + parts - 1) / parts;
    for (int64_t top = w.top; top < w.bottom; top += each) {
      Placed at{i, top, w.start + (top - w.top) * width, std::min(each, w.bottom - top), width, 0, 0, columns};
      at.lines = lines_of(at.height);
      const int64_t size = at.lines * columns * p.pitch(), area = at.height * width;
      if (pieces.portions.empty() || rows + area / 2 > kRows || inputs + size > kInputs) {
        pieces.portions.push_back(static_cast<int64_t>(pieces.strips.size()));
        rows = inputs = 0;
      }
      at.inputs = inputs;
      rows += area;
      inputs += size;
      pieces.strips.push_back(at);
    }
  }
  pieces.portions.push_back(static_cast<int64_t>(pieces.strips.size()));
  return pieces;
}

void direct(const PatchConv& p, const Placed* strips, int64_t count, int64_t first_panel, int64_t past_panel, Work& work) {
  // A line of taps is one run where nothing is dilated.
  const int64_t pitch = p.pitch();
  const bool runs = p.x.dilation == 1 && pitch == p.channels;
  const int64_t length = runs ? p.x.kernel * p.channels : p.channels;
  // Strips of one width have their segments at the same offsets.
  for (int64_t first = 0, last = 0; first < count; first = last) {
    const int64_t columns = strips[first].columns;
    work.rows.clear();
    work.outputs.clear();
    work.offsets.clear();
    for (; last < count && strips[last].columns == columns; ++last) {
      const Placed& at = strips[last];
      for (int64_t y = 0; y < at.height; ++y)
        for (int64_t x = 0; x < at.width; ++x) {
          work.rows.push_back(work.inputs.data() + at.inputs + (y * p.y.stride * columns + x * p.x.stride) * pitch);
          work.outputs.push_back(at.row + y * at.width + x);
        }
    }
    for (int64_t ky = 0; ky < p.y.kernel; ++ky)
      for (int64_t kx = 0; kx < (runs ? 1 : p.x.kernel); ++kx)
        work.offsets.push_back((ky * p.y.dilation * columns + kx * p.x.dilation) * pitch);
    const DirectWork w{work.rows.data(), work.outputs.data(), static_cast<int64_t>(work.rows.size()), work.offsets.data(),
                       static_cast<int64_t>(work.offsets.size()), length, first_panel, past_panel};
    ZFCUDA_ISA_CALL(direct_rows(p, w));
  }
}

}  // namespace

int64_t panel() {
  int64_t width = 0;
#if defined(__x86_64__)
  switch (chosen_isa()) {
    case Isa::avx512: width = avx512::kPanel; break;
    case Isa::avx2: width = avx2::kPanel; break;
    case Isa::baseline: width = baseline::kPanel; break;
  }
#else
  width = baseline::kPanel;
#endif
  return width;
}

void read_rectangle(const PatchConv& p, const Rectangle& have, int64_t y0, int64_t x0, int64_t lines, int64_t columns,
                    int64_t pitch, float* to) {
  const auto read = [&](const auto& from) {
    for (int64_t y = y0; y < y0 + lines; ++y) to = from.copy(have, y, x0, x0 + columns, to);
  };
  if (pitch == p.channels)
    read(PatchLines<float>{p.base, p.patches, p.y.inputs, p.x.inputs, p.channels, 0.0f});
  else
    read(PatchLines<float, true>{p.base, p.patches, p.y.inputs, p.x.inputs, p.channels, 0.0f, pitch});
}

int64_t packed_size(int64_t outputs, int64_t channels, int64_t taps) {
  const int64_t width = panel();
  return (outputs + width - 1) / width * width * channels * taps;
}

void pack_filters(const Tensor& weight, Tensor& packed) {
  const int64_t outputs = weight.size(0), channels = weight.size(1), taps = weight.size(2) * weight.size(3);
  const float* from = weight.const_data_ptr<float>();
  float* to = packed.mutable_data_ptr<float>();
  const int64_t panels = (outputs + panel() - 1) / panel();
  parallel(panels, packed.numel() / panels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ZFCUDA_ISA_CALL(pack_panel(from, outputs, channels, taps, to, i));
  });
}

void conv_patches(const PatchConv& p, int64_t windows, int64_t rows) {
  const Pieces pieces = pieces_of(p, windows);
  const int64_t portions = static_cast<int64_t>(pieces.portions.size()) - 1;
  // Where there are too few portions for the threads, several take one, each some of its outputs.
  const int64_t panels = (p.outputs + panel() - 1) / panel(), threads = at::get_num_threads();
  const int64_t taps = p.y.kernel * p.x.kernel;
  const bool few = portions < 4 * threads && portions % threads != 0;
  const bool worth = std::min(kRows, rows) * p.channels * p.outputs * taps >= kWorth;
  const int64_t shares = few && worth ? std::min(threads, panels) : 1;
  at::parallel_for(0, portions * shares, 1, [&](int64_t begin, int64_t end) {
    Work work;
    for (int64_t each = begin; each < end; ++each) {
      const int64_t i = each / shares, share = each % shares;
      const int64_t first_panel = panels * share / shares, past_panel = panels * (share + 1) / shares;
      const Placed* const strips = pieces.strips.data() + pieces.portions[i];
      const int64_t count = pieces.portions[i + 1] - pieces.portions[i];
      if (count == 0) continue;
      const Placed& last = strips[count - 1];
      float* const inputs = room(work.inputs, last.inputs + last.lines * last.columns * p.pitch());
      for (int64_t s = 0; s < count; ++s) {
        const Placed& at = strips[s];
        const Rectangle want = Rectangle::of(p.want, at.window);
        read_rectangle(p, Rectangle::of(p.have, at.window), at.top * p.y.stride - p.y.padding,
                       want.left * p.x.stride - p.x.padding, at.lines, at.columns, p.pitch(),
                       inputs + at.inputs);
      }
      direct(p, strips, count, first_panel, past_panel, work);
    }
  });
}

}  // namespace zfcuda::cpu

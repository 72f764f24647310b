// 3x3 convolution of patches by Winograd's algorithm on the CPU, in float32. The tiles of many windows, whatever their
// sizes, are the rows of as many matrix products as the largest tile has products.
#include "cpu/conv_winograd.h"

#include "cpu/huge_pages.h"
#include "cpu/parallel.h"

#define ZFCUDA_LOOPS "cpu/conv_winograd_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

// Lines of tiles of one window, and of each thread's next portion the first.
struct Strip {
  int64_t window, first, past;
};

struct Strips {
  std::vector<Strip> strips;
  std::vector<int64_t> portions;
};

// Tiles that one thread computes at once. Reading the filters takes C * O for all of them, their factors and products
// C + O each: more tiles where the filters are large, few where those would leave the cache that they could stay in.
int64_t most_tiles(const PatchConv& p) {
  return std::clamp<int64_t>(3 * p.channels * p.outputs / (4 * (p.channels + p.outputs)), 32, 112);
}

Strips strips_of(const PatchConv& p, int64_t tile, int64_t windows) {
  Strips found;
  const int64_t most = most_tiles(p);
  int64_t tiles = 0;
  for (int64_t i = 0; i < windows; ++i) {
    const Rectangle want = Rectangle::of(p.want, i);
    if (want.empty()) continue;
    const int64_t lines = Split::of(want.bottom - want.top, tile).pieces;
    const int64_t across = Split::of(want.right - want.left, tile).pieces;
    // A large rectangle in several, each as high as the limit allows.
    const int64_t parts = (lines * across + most - 1) / most, each = std::max<int64_t>(1, lines / parts);
    for (int64_t first = 0; first < lines; first += each) {
      const Strip strip{i, first, std::min(first + each, lines)};
      const int64_t more = (strip.past - first) * across;
      if (found.portions.empty() || tiles + more / 2 > most) {
        found.portions.push_back(static_cast<int64_t>(found.strips.size()));
        tiles = 0;
      }
      tiles += more;
      found.strips.push_back(strip);
    }
  }
  found.portions.push_back(static_cast<int64_t>(found.strips.size()));
  return found;
}

struct Work {
  std::vector<float> inputs, transformed, products;
  std::vector<Tile> tiles;
  std::vector<int64_t> chosen;
};

// The tiles of a strip, their inputs in memory that the next strip takes again.
void add_tiles(const PatchConv& p, const Strip& strip, int64_t tile, Work& work) {
  const Rectangle want = Rectangle::of(p.want, strip.window);
  const int64_t width = want.right - want.left;
  const Split down = Split::of(want.bottom - want.top, tile), across = Split::of(width, tile);
  const int64_t top = down.begin(strip.first), lines = down.begin(strip.past) - top + 2, columns = width + 2;
  float* const inputs = room(work.inputs, lines * columns * p.channels);
  read_rectangle(p, Rectangle::of(p.have, strip.window), want.top + top - p.y.padding, want.left - p.x.padding, lines,
                 columns, p.channels, inputs);
  for (int64_t i = strip.first; i < strip.past; ++i)
    for (int64_t j = 0; j < across.pieces; ++j) {
      const int64_t y = down.begin(i), x = across.begin(j);
      work.tiles.push_back({down.begin(i + 1) - y, across.begin(j + 1) - x, want.start + y * width + x, width,
                            inputs + ((y - top) * columns + x) * p.channels, columns});
    }
}

void run_portion(const PatchConv& p, const Strip* strips, int64_t count, int64_t tile, int64_t first_panel,
                 int64_t past_panel, Work& work) {
  int64_t tiles = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Rectangle want = Rectangle::of(p.want, strips[i].window);
    tiles += (strips[i].past - strips[i].first) * Split::of(want.right - want.left, tile).pieces;
  }
  const int64_t products = products_of(tile) * products_of(tile), panels = (p.outputs + panel() - 1) / panel();
  WinogradWork w{nullptr, tiles, tile, nullptr, pitch_of(p.channels), 0, nullptr, pitch_of(panels * panel()), 0, nullptr,
                 first_panel, past_panel};
  w.transformed_product = pitch_of(tiles * w.transformed_tile);
  w.products_product = pitch_of(tiles * w.products_tile);
  w.transformed = room(work.transformed, products * w.transformed_product);
  w.products = room(work.products, products * w.products_product);
  work.tiles.clear();
  work.chosen.resize(tiles);
  w.chosen = work.chosen.data();
  for (int64_t i = 0; i < count; ++i) {
    const auto first = static_cast<int64_t>(work.tiles.size());
    add_tiles(p, strips[i], tile, work);
    w.tiles = work.tiles.data();
    const auto past = static_cast<int64_t>(work.tiles.size());
    ZFCUDA_ISA_CALL(winograd_inputs(p, w, first, past));
  }
  ZFCUDA_ISA_CALL(winograd_outputs(p, w));
}

}  // namespace

bool suits_winograd(const DilatedWindowAxis& y, const DilatedWindowAxis& x, int64_t channels, int64_t outputs) {
  const auto three = [](const DilatedWindowAxis& a) { return a.kernel == 3 && a.stride == 1 && a.dilation == 1; };
  // With few channels the transforms cost more than the multiplications spared.
  return three(y) && three(x) && channels >= 16 && outputs >= 16;
}

int64_t winograd_size(int64_t outputs, int64_t channels, int64_t tile) {
  return packed_size(outputs, channels, products_of(tile) * products_of(tile));
}

void pack_winograd(const at::Tensor& weight, int64_t tile, at::Tensor& packed) {
  const int64_t outputs = weight.size(0), channels = weight.size(1);
  const float* from = weight.const_data_ptr<float>();
  use_huge_pages(packed);
  float* to = packed.mutable_data_ptr<float>();
  const int64_t panels = (outputs + panel() - 1) / panel();
  parallel(panels, packed.numel() / panels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ZFCUDA_ISA_CALL(pack_tile_filters(from, outputs, channels, tile, to, i));
  });
}

void conv_winograd(const PatchConv& p, int64_t tile, int64_t windows) {
  const Strips found = strips_of(p, tile, windows);
  const int64_t portions = static_cast<int64_t>(found.portions.size()) - 1;
  // Where there are too few portions for the threads, several take one, each some of its outputs.
  const int64_t panels = (p.outputs + panel() - 1) / panel(), threads = at::get_num_threads();
  const bool few = portions < 4 * threads && portions % threads != 0;
  const int64_t rows = static_cast<int64_t>(found.strips.size());
  const bool worth = rows * p.channels * p.outputs * products_of(tile) * products_of(tile) >= kWorth;
  const int64_t shares = few && worth ? std::min(threads, panels) : 1;
  at::parallel_for(0, portions * shares, 1, [&](int64_t begin, int64_t end) {
    Work work;
    for (int64_t each = begin; each < end; ++each) {
      const int64_t i = each / shares, share = each % shares;
      const int64_t count = found.portions[i + 1] - found.portions[i];
      if (count == 0) continue;
      run_portion(p, found.strips.data() + found.portions[i], count, tile, panels * share / shares,
                  panels * (share + 1) / shares, work);
    }
  });
}

}  // namespace zfcuda::cpu

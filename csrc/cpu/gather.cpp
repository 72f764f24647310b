// Rectangles read from a map and its patches on the CPU: copies of whole runs of positions.
#include <cstring>

#include "cpu/huge_pages.h"
#include "cpu/parallel.h"
#include "cpu/tables.h"
#include "kernels.h"

namespace zfcuda::cpu {
void gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, double fill,
                    Tensor& output) {
  const int64_t n = want.size(0), rows = output.size(0), channels = base.size(1);
  const int64_t height = base.size(2), width = base.size(3);
  const int64_t* const held = have.const_data_ptr<int64_t>();
  const int64_t* const wanted = want.const_data_ptr<int64_t>();
  check_tables(held, wanted, n, base, patches.size(0), rows);
  if (output.numel() == 0) return;
  use_huge_pages(output);
  ZFCUDA_DISPATCH(base, "gather_patches", [&] {
    const scalar_t* const map = base.const_data_ptr<scalar_t>();
    const scalar_t* const patch = patches.const_data_ptr<scalar_t>();
    scalar_t* const out = output.mutable_data_ptr<scalar_t>();
    const auto blank = static_cast<scalar_t>(fill);

    // Positions [x0, x1) of line y of the map.
    const auto line = [&](const Rectangle& h, int64_t y, int64_t x0, int64_t x1, scalar_t* to) {
      const auto paint = [&](int64_t count) { to = std::fill_n(to, count * channels, blank); };
      const auto copy = [&](const scalar_t* from, int64_t row, int64_t count) {
        if (count > 0) std::memcpy(to, from + row * channels, count * channels * sizeof(scalar_t));
        to += count * channels;
      };
      if (y < 0 || y >= height) return paint(x1 - x0);
      // Left to right: padding, map, patch, map, padding.
      const int64_t m0 = std::clamp<int64_t>(0, x0, x1), m1 = std::clamp(width, m0, x1);
      const bool in_patch = y >= h.top && y < h.bottom;
      const int64_t p0 = in_patch ? std::clamp(h.left, m0, m1) : m1, p1 = in_patch ? std::clamp(h.right, p0, m1) : m1;
      paint(m0 - x0);
      copy(map, y * width + m0, p0 - m0);
      if (p1 > p0) copy(patch, static_cast<int64_t>(h.place(y, p0)), p1 - p0);
      copy(map, y * width + p1, m1 - p1);
      paint(x1 - m1);
    };

    // Pieces of equal size, wherever they begin and end in a window.
    parallel(rows, channels, [&](int64_t begin, int64_t end) {
      int64_t row = begin;
      for (int64_t i = Rectangle::last_from(wanted, n, begin); row < end; ++i) {
        const Rectangle w = Rectangle::of(wanted, i), h = Rectangle::of(held, i);
        if (w.empty()) continue;
        const auto columns = static_cast<int64_t>(w.width());
        int64_t x = w.left + (row - w.start) % columns;
        for (int64_t y = w.top + (row - w.start) / columns; y < w.bottom && row < end; ++y, x = w.left) {
          const int64_t count = std::min(w.right - x, end - row);
          line(h, y, x, x + count, out + row * channels);
          row += count;
        }
      }
    });
  });
}

}  // namespace zfcuda::cpu

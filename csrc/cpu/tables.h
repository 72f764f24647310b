// The tables of rectangles that say where patches lie, checked before anything is read.
#pragma once

#include <ATen/core/Tensor.h>

#include "patches.h"

namespace zfcuda::cpu {

// have: inside a map of base's size and the rows of the patches. want: one after the other, `rows` in all. Both have n
// lines.
inline void check_tables(const int64_t* have, const int64_t* want, int64_t n, const at::Tensor& base,
                         int64_t patch_rows, int64_t rows) {
  const int64_t height = base.size(2), width = base.size(3);
  uint64_t next = 0;  // never above rows
  for (int64_t i = 0; i < n; ++i) {
    const Rectangle h = Rectangle::of(have, i), w = Rectangle::of(want, i);
    if (!h.empty()) {
      TORCH_CHECK(h.top >= 0 && h.left >= 0 && h.bottom <= height && h.right <= width, "have: window ", i,
                  " holds positions ", h.top, ", ", h.left, " to ", h.bottom, ", ", h.right, ", beyond base's ", height,
                  " x ", width);
      const int64_t area = static_cast<int64_t>(h.height() * h.width());
      TORCH_CHECK(h.start >= 0 && area <= patch_rows && h.start <= patch_rows - area, "have: window ", i, " has ", area,
                  " positions from row ", h.start, " of patches, which has ", patch_rows, " rows");
    }
    TORCH_CHECK(w.start == static_cast<int64_t>(next), "want: window ", i, " starts at row ", w.start, ", expected ", next,
                ", where the windows before it end");
    if (w.empty()) continue;
    const uint64_t left = static_cast<uint64_t>(rows) - next;
    // Divided, since the product could overflow.
    TORCH_CHECK(w.width() <= left / w.height(), "want: window ", i, " wants ", w.height(), " x ", w.width(),
                " positions from row ", w.start, " on, more than rows ", rows);
    next += w.height() * w.width();
  }
  TORCH_CHECK(next == static_cast<uint64_t>(rows), "want: its ", n, " windows want ", next, " positions, rows is ", rows);
}

// want: inside a map of this size.
inline void check_wanted(const int64_t* want, int64_t n, int64_t height, int64_t width) {
  for (int64_t i = 0; i < n; ++i) {
    const Rectangle w = Rectangle::of(want, i);
    TORCH_CHECK(w.empty() || (w.top >= 0 && w.left >= 0 && w.bottom <= height && w.right <= width), "want: window ", i,
                " wants positions ", w.top, ", ", w.left, " to ", w.bottom, ", ", w.right, ", beyond the output's ", height,
                " x ", width);
  }
}

// Calls body(row, window, y, x) for the rows [begin, end) of what is wanted, whose tables were checked.
template <class Body>
void each_wanted(const int64_t* want, int64_t n, int64_t begin, int64_t end, const Body& body) {
  int64_t row = begin;
  for (int64_t i = Rectangle::last_from(want, n, begin); row < end; ++i) {
    const Rectangle w = Rectangle::of(want, i);
    if (w.empty()) continue;
    const auto columns = static_cast<int64_t>(w.width());
    int64_t x = w.left + (row - w.start) % columns;
    for (int64_t y = w.top + (row - w.start) / columns; y < w.bottom && row < end; ++y, x = w.left)
      for (; x < w.right && row < end; ++x, ++row) body(row, i, y, x);
  }
}

}  // namespace zfcuda::cpu

// Occlusion, and the rectangles of maps that it changes: the arithmetic of one element. Host and device.
#pragma once

#include <cstdint>

#include "window.h"

namespace zfcuda {

// Whether pixel (y, x) lies in the window of `rows` x `columns` at (top, left).
ZFCUDA_HOST_DEVICE bool occluded(int64_t y, int64_t x, int64_t top, int64_t left, int64_t rows, int64_t columns) {
  // Unsigned: a window may begin anywhere, and what lies before it is too far behind it.
  const auto within = [](int64_t i, int64_t from, int64_t size) {
    return i >= from && static_cast<uint64_t>(i) - static_cast<uint64_t>(from) < static_cast<uint64_t>(size);
  };
  return within(y, top, rows) && within(x, left, columns);
}

// A line of a table int64 [n,5]: a rectangle of positions, kept row-major as rows of a matrix, from row `start` on.
// Differences and places are unsigned: whatever a table says, they wrap around and overflow nothing.
struct Rectangle {
  static constexpr int64_t kNumbers = 5;
  int64_t top, left, bottom, right, start;

  ZFCUDA_HOST_DEVICE static Rectangle of(const int64_t* table, int64_t i) {
    const int64_t* line = table + i * kNumbers;
    return {line[0], line[1], line[2], line[3], line[4]};
  }

  ZFCUDA_HOST_DEVICE static uint64_t difference(int64_t a, int64_t b) {
    return static_cast<uint64_t>(a) - static_cast<uint64_t>(b);
  }
  ZFCUDA_HOST_DEVICE uint64_t height() const { return bottom > top ? difference(bottom, top) : 0; }
  ZFCUDA_HOST_DEVICE uint64_t width() const { return right > left ? difference(right, left) : 0; }
  ZFCUDA_HOST_DEVICE bool empty() const { return bottom <= top || right <= left; }
  ZFCUDA_HOST_DEVICE bool holds(int64_t y, int64_t x) const { return y >= top && y < bottom && x >= left && x < right; }
  // The row of the matrix that keeps position (y, x), which the rectangle holds.
  ZFCUDA_HOST_DEVICE uint64_t place(int64_t y, int64_t x) const {
    return static_cast<uint64_t>(start) + difference(y, top) * width() + difference(x, left);
  }

  // The last of n > 0 rectangles with start <= row, which keeps it: an empty one starts where the next does.
  ZFCUDA_HOST_DEVICE static int64_t last_from(const int64_t* table, int64_t n, int64_t row) {
    int64_t first = 0, past = n;
    while (past - first > 1) {
      const int64_t middle = first + (past - first) / 2;
      (table[middle * kNumbers + kNumbers - 1] <= row ? first : past) = middle;
    }
    return first;
  }
};

}  // namespace zfcuda

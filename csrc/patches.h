// Occlusion, the arithmetic of one element. Host and device.
#pragma once

#include <cstdint>

#include "window.h"

namespace zfcuda {

// Whether pixel (y, x) lies in the window of `rows` x `columns` at (top, left).
ZFCUDA_HOST_DEVICE bool occluded(int64_t y, int64_t x, int64_t top, int64_t left, int64_t rows, int64_t columns) {
  return y >= top && y - top < rows && x >= left && x - left < columns;
}

}  // namespace zfcuda

// Linear layers on many rows: what the loops (linear_rows_loops.inl) are given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "cpu/limits.h"
#include "patches.h"

namespace zfcuda::cpu {

// Rows [n, positions * channels] times a weight [O, channels * positions], as it was laid out for a flattened [C,H,W].
struct LinearRows {
  const float* input;
  const int64_t* have;  // table of Rectangles outside of which a row is zero, or null
  const float* weight;
  const float* bias;  // [O] or null
  float* output;      // [n,O]
  int64_t rows, channels, height, width, outputs;

  int64_t positions() const { return height * width; }
  int64_t inputs() const { return channels * positions(); }
};

// So few rows of numbers that do not lie by position read the weight as it is, at the speed of the memory.
constexpr int64_t kFewRows = 8, kRowsOfDots = 4;
inline bool few_rows(const LinearRows& p) { return p.rows < kFewRows && p.positions() == 1; }

// Channels whose numbers of a tile of rows and of a panel stay in the cache, for all positions. Not a power of two.
constexpr int64_t kInputsAtOnce = 1024;
inline int64_t channels_at_once(const LinearRows& p) {
  if (p.positions() == 1) return kInputsAtOnce;
  const int64_t fitting = kInputsAtOnce / p.positions();
  return fitting | 1;
}
// From one row's copied numbers to the next's.
inline int64_t copied_pitch(const LinearRows& p) { return p.positions() * channels_at_once(p) + 16; }
constexpr int64_t kPanelsAtOnce = 2;

void linear_rows(const LinearRows&);

}  // namespace zfcuda::cpu

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
  int64_t pitch;  // numbers from one row of the input to the next

  int64_t positions() const { return height * width; }
  int64_t inputs() const { return channels * positions(); }
};

// So few rows of numbers that do not lie by position read the weight as it is, at the speed of the memory.
constexpr int64_t kFewRows = 8, kRowsOfDots = 4;
inline bool few_rows(const LinearRows& p) { return p.rows < kFewRows && p.positions() == 1; }

// A row's inputs are taken in runs: a position's channels, or pieces of this length where there is one position.
constexpr int64_t kRun = 512;
inline int64_t run_of(const LinearRows& p) { return p.positions() == 1 ? kRun : p.channels; }
inline int64_t runs_of(const LinearRows& p) { return (p.inputs() + run_of(p) - 1) / run_of(p); }

// Runs of which a tile of rows and the weights of a few panels stay in the cache.
inline int64_t runs_at_once(const LinearRows& p) { return (kRun + run_of(p) - 1) / run_of(p); }

void linear_rows(LinearRows);

}  // namespace zfcuda::cpu

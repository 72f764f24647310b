// 1x1 convolution of patches: what its loops (pointwise_patches_loops.inl) are given.
#pragma once

#include <cstdint>

#include "cpu/limits.h"

namespace zfcuda::cpu {

// A map [H,W,C] and what windows have changed of it: some of the channels that the filters read.
struct PointwiseSource {
  const float* base;
  const float* patches;
  const int64_t* have;  // a table of Rectangles
  int64_t channels, width;
};

// What happens to a number before it meets the filters, by its channel.
struct Prologue {
  const float* scale;  // [C] or null
  const float* shift;  // [C], where there is a scale
  bool relu;

  bool any() const { return scale != nullptr || relu; }
};

struct PointwisePatches {
  const PointwiseSource* sources;  // their channels stand one after the other
  int64_t count;
  const int64_t* want;    // a table of Rectangles
  const float* filters;   // packed, see pack_filters
  const float* bias;      // [O] or null
  const float* residual;  // [rows,O] or null, added before the limits
  float* output;          // [rows,O]
  int64_t channels, outputs;
  int64_t stride_y, stride_x;
  Prologue prologue;
  Limits limits;
};

// Neighbouring rows of the output.
struct PointwiseRows {
  const float* const* inputs;  // [sources][count]: where each row finds each source's channels
  const int64_t* lengths;      // of each source: its channels
  int64_t sources, first, count;
  int64_t first_panel, past_panel;  // of the outputs
};

void pointwise_patches(const PointwisePatches&, int64_t windows, int64_t rows);

}  // namespace zfcuda::cpu

// Convolution of patches in groups of channels: what its loops (grouped_patches_loops.inl) are given.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "cpu/limits.h"
#include "patches.h"
#include "window.h"

namespace zfcuda::cpu {

// How the groups of a filter bank share the vectors of `lanes` numbers. A unit is one group, or as many small ones as one
// vector has room for: then every lane reads inputs of its own group.
struct Groups {
  int64_t inputs, outputs, count;  // of one group; groups
  int64_t lanes;

  bool depthwise() const { return inputs == 1 && outputs == 1; }
  int64_t of_unit() const { return std::clamp<int64_t>(lanes / outputs, 1, count); }
  bool shared() const { return of_unit() > 1; }
  int64_t units() const { return (count + of_unit() - 1) / of_unit(); }
  int64_t vectors() const { return (of_unit() * outputs + lanes - 1) / lanes; }  // of one unit
  int64_t first(int64_t unit) const { return unit * of_unit(); }                 // group
  int64_t groups_in(int64_t unit) const { return std::min(of_unit(), count - first(unit)); }

  // Numbers that stand in working memory for each position.
  int64_t pitch() const { return shared() ? inputs * lanes : inputs; }

  // The filters of a unit are [vector][ky][kx][input of a group][lane]; depthwise they are all [ky][kx][channel].
  int64_t packed_unit(int64_t taps) const { return vectors() * taps * inputs * lanes; }
  int64_t packed_size(int64_t taps) const { return depthwise() ? taps * count : units() * packed_unit(taps); }
};

// A filter bank over one map [H,W,C] and the patches of many windows, computed where each window wants it.
struct GroupedConv {
  const float* base;
  const float* patches;
  const int64_t* have;  // tables of Rectangles
  const int64_t* want;
  const float* filters;   // packed
  const float* bias;      // [O] or null
  const float* residual;  // [rows,O] or null, added before the limits
  float* output;          // [rows,O]
  Groups groups;
  DilatedWindowAxis y, x;
  Limits limits;

  int64_t channels() const { return groups.inputs * groups.count; }
  int64_t outputs() const { return groups.outputs * groups.count; }
};

// One line of outputs, a filter per channel. inputs: of each position that its first line of taps reads, and of
// `columns` positions on those of the next line, where its channels lie.
struct DepthwiseLine {
  const float* const* inputs;
  int64_t columns, width, row;
};

// Rows of working memory times the filters of one unit: `segments` runs of `length` inputs at the same offsets.
struct UnitWork {
  const float* const* inputs;
  const int64_t* outputs;  // rows
  int64_t count;
  const int64_t* offsets;
  int64_t segments, length, unit;
};

// Of this processor: what stands in one vector.
Groups groups_of(int64_t inputs, int64_t outputs, int64_t groups);
void pack_grouped(const at::Tensor& weight, const Groups&, at::Tensor& packed);
void grouped_patches(const GroupedConv&, int64_t windows);

}  // namespace zfcuda::cpu

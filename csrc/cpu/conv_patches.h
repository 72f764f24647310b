// Convolution of patches: what its loops (conv_patches_loops.inl) are given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "cpu/limits.h"
#include "patches.h"
#include "window.h"

namespace zfcuda::cpu {

// A filter bank over one map [H,W,C] and the patches of many windows, computed where each window wants it.
struct PatchConv {
  const float* base;
  const float* patches;
  const int64_t* have;  // tables of Rectangles
  const int64_t* want;
  const float* filters;   // packed, see pack_filters
  const float* bias;      // [O] or null
  const float* residual;  // [rows,O] or null, added before the limits
  float* output;          // [rows,O]
  int64_t channels, outputs;
  DilatedWindowAxis y, x;
  Limits limits;
  bool winograd;

  // Numbers from one position to the next in the working memory.
  int64_t pitch() const { return winograd || channels * x.stride % 1024 != 0 ? channels : channels + 16; }
};

// Some lines of one window's wanted rectangle, and where their inputs and outputs lie.
struct Placed {
  int64_t window, top;    // line of the map
  int64_t row;            // first row of the output
  int64_t height, width;  // outputs
  int64_t inputs;         // first number in the working memory
  int64_t lines, columns;  // of inputs
};

// Lines of the cache lie in it by their address modulo a page: rows a multiple of it apart would push each other out.
// One line more keeps them apart.
inline int64_t pitch_of(int64_t numbers) { return numbers % 512 == 0 ? numbers + 16 : numbers; }

// Rows of working memory that become one output row each: `segments` runs of `length` numbers at the same offsets.
struct DirectWork {
  const float* const* inputs;
  const int64_t* outputs;  // rows
  int64_t count;
  const int64_t* offsets;
  int64_t segments, length;
  int64_t first_panel, past_panel;  // of the outputs
};

struct WinogradWork {
  const Placed* placed;
  int64_t strips, tiles;
  const float* inputs;
  float* transformed;                 // [16][tiles][C], with these pitches
  int64_t transformed_tile, transformed_product;
  float* products;                    // [16][tiles][O]
  int64_t products_tile, products_product;
  int64_t first_panel, past_panel;  // of the outputs
};

// F(2x2, 3x3) of Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks": 16 multiplications instead of 36
// for a tile of 2 x 2 outputs, which reads 4 x 4 inputs.
constexpr int64_t kTile = 2, kTileInputs = 4, kTileProducts = 16;

inline bool suits_winograd(const DilatedWindowAxis& y, const DilatedWindowAxis& x, int64_t channels, int64_t outputs) {
  const auto three = [](const DilatedWindowAxis& a) { return a.kernel == 3 && a.stride == 1 && a.dilation == 1; };
  // With few channels the transforms cost more than the multiplications spared.
  return three(y) && three(x) && channels >= 16 && outputs >= 16;
}

// Numbers of the packed form of filters [O,C,kh,kw].
int64_t packed_size(int64_t outputs, int64_t channels, int64_t taps, bool winograd);
void pack_filters(const at::Tensor& weight, bool winograd, at::Tensor& packed);
void conv_patches(const PatchConv&, int64_t windows, int64_t rows);

}  // namespace zfcuda::cpu

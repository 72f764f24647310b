// Convolution of patches: what its loops (conv_patches_loops.inl) are given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

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

  // Numbers from one position to the next in the working memory.
  int64_t pitch() const { return channels * x.stride % 1024 != 0 ? channels : channels + 16; }
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

// Multiplications of one portion that are worth a thread.
constexpr int64_t kWorth = 4 << 20;

// Outputs of a panel, as the chosen instruction set has them.
int64_t panel();

inline float* room(std::vector<float>& memory, int64_t size) {
  if (static_cast<int64_t>(memory.size()) < size) memory.resize(size);
  return memory.data();
}

// Writes lines [y0, y0 + lines) and columns [x0, x0 + columns) of the map as a window has changed it, zeros outside,
// `pitch` numbers a position.
void read_rectangle(const PatchConv& p, const Rectangle& have, int64_t y0, int64_t x0, int64_t lines, int64_t columns,
                    int64_t pitch, float* to);

// Numbers of the packed form of filters [O,C,kh,kw].
int64_t packed_size(int64_t outputs, int64_t channels, int64_t taps);
void pack_filters(const at::Tensor& weight, at::Tensor& packed);
void conv_patches(const PatchConv&, int64_t windows, int64_t rows);

}  // namespace zfcuda::cpu

// 3x3 convolution of patches by Winograd's algorithm: what its loops (conv_winograd_loops.inl) are given.
#pragma once

#include "cpu/conv_patches.h"

namespace zfcuda::cpu {

// Each side of a rectangle is split into pieces of 1 to 4 outputs, and a tile is a piece of rows times a piece of
// columns: m + 2 products a side for m outputs. The products are the values of polynomials at points, which all tiles
// share in this order: 0, infinity, 3/4, -3/4, 3/2, -3/2, of which a piece of m takes the first m + 2. So one form of
// the filters serves tiles of all sizes.
constexpr int64_t kLargestTile = 4;

// Products of one side of the largest tile.
constexpr int64_t products_of(int64_t tile) { return tile + 2; }

// A side of n outputs in pieces of at most `most`, as even as can be.
struct Split {
  int64_t outputs, pieces;
  static Split of(int64_t outputs, int64_t most) { return {outputs, (outputs + most - 1) / most}; }
  int64_t begin(int64_t piece) const { return outputs * piece / pieces; }
};

struct Tile {
  int64_t height, width;  // outputs
  int64_t row, pitch;     // first row of the output, and from one line to the next
  const float* inputs;    // in the working memory, where lines are
  int64_t columns;        // positions
};

struct WinogradWork {
  const Tile* tiles;
  int64_t count, tile;                // tile: the largest
  float* transformed;                 // [products][tiles][C], with these pitches
  int64_t transformed_tile, transformed_product;
  float* products;                    // [products][tiles][O]
  int64_t products_tile, products_product;
  int64_t* chosen;                    // of one product
  int64_t first_panel, past_panel;    // of the outputs
};

bool suits_winograd(const DilatedWindowAxis& y, const DilatedWindowAxis& x, int64_t channels, int64_t outputs);

// Numbers of the packed form of filters [O,C,3,3] for tiles of at most `tile`.
int64_t winograd_size(int64_t outputs, int64_t channels, int64_t tile);
void pack_winograd(const at::Tensor& weight, int64_t tile, at::Tensor& packed);
void conv_winograd(const PatchConv&, int64_t tile, int64_t windows);

}  // namespace zfcuda::cpu

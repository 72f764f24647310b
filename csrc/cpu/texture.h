// Texture synthesis by neighbourhoods (Wei & Levoy, SIGGRAPH 2000): what the search for its pixels is given.
#pragma once

#include <cstdint>

namespace zfcuda::cpu {

// A node of the tree: its `count` children stand one after the other, from `first` on; a leaf has none. Its
// neighbourhoods are the rows [begin, end) of windows.
struct TextureNode {
  int64_t first, count, begin, end;
};
constexpr int64_t kMostChildren = 256;

// A picture that grows: bytes [height][width][channels]. Positions beyond its borders are those of the other side.
struct TexturePicture {
  uint8_t* pixels;
  int64_t height, width;
};

struct Texture {
  TexturePicture output;
  int64_t* chosen;         // [height][width]: which neighbourhood of the sample each pixel was taken from
  TexturePicture coarser;  // half as large; of no height where there is none
  const uint8_t* values;   // [n][channels]: the pixels of the sample that have a neighbourhood
  const uint8_t* windows;  // [n][pitch], leaf by leaf; zeros beyond each one's values
  const int64_t* order;    // [n]: which of the values each row of windows belongs to
  const uint8_t* centres;  // [nodes][pitch]
  const TextureNode* nodes;
  int64_t channels, pitch;
  int64_t radius;
  int64_t leaves;  // how many of them are searched

  // The values of a window: whole rows above a pixel, what is left of it, and the square around its place above.
  int64_t size() const {
    const int64_t side = 2 * radius + 1;
    return channels * (radius * side + radius + (coarser.height > 0 ? side * side : 0));
  }
};

// Chooses the pixels [first, last) in scan-line order.
void texture_pixels(const Texture&, int64_t first, int64_t last);

}  // namespace zfcuda::cpu

// Texture synthesis by neighbourhoods on the CPU: a search through a tree of them for each pixel, in scan-line order.
#include "cpu/texture.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#define ZFCUDA_LOOPS "cpu/texture_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

int64_t wrapped(int64_t i, int64_t length) {
  const int64_t rest = i % length;
  return rest < 0 ? rest + length : rest;
}

// Copies `count` pixels of a row from (y, x) on, around the borders; returns where they end.
uint8_t* copy_run(const TexturePicture& from, int64_t channels, int64_t y, int64_t x, int64_t count, uint8_t* to) {
  const uint8_t* const row = from.pixels + wrapped(y, from.height) * from.width * channels;
  while (count > 0) {
    x = wrapped(x, from.width);
    const int64_t run = std::min(count, from.width - x);
    std::memcpy(to, row + x * channels, run * channels);
    to += run * channels;
    x += run;
    count -= run;
  }
  return to;
}

void read_window(const Texture& p, int64_t y, int64_t x, uint8_t* to) {
  const int64_t r = p.radius;
  for (int64_t above = r; above > 0; --above) to = copy_run(p.output, p.channels, y - above, x - r, 2 * r + 1, to);
  to = copy_run(p.output, p.channels, y, x - r, r, to);
  if (p.coarser.height == 0) return;
  for (int64_t v = -r; v <= r; ++v) to = copy_run(p.coarser, p.channels, y / 2 + v, x / 2 - r, 2 * r + 1, to);
}

void measure(const Texture& p, const uint8_t* window, const uint8_t* rows, int64_t count, int32_t* out) {
  ZFCUDA_ISA_CALL(squared_distances(window, rows, count, p.pitch, out));
}

using Branch = std::pair<int32_t, int64_t>;  // the distance to a node's centre, the node

// The nearest neighbourhood among those of the leaves that are searched: at each turn down from the nearest branch that
// was left aside. Of equally near ones the first in the sample.
int64_t nearest(const Texture& p, const uint8_t* window, std::vector<Branch>& aside) {
  constexpr int64_t at_once = kMostChildren;
  int32_t distances[at_once];
  std::pair<int32_t, int64_t> best{std::numeric_limits<int32_t>::max(), std::numeric_limits<int64_t>::max()};
  aside.assign(1, {0, 0});
  for (int64_t leaf = 0; leaf < p.leaves && !aside.empty(); ++leaf) {
    std::pop_heap(aside.begin(), aside.end(), std::greater<>());
    int64_t node = aside.back().second;
    aside.pop_back();
    while (p.nodes[node].count > 0) {
      const auto [child, count, begin, end] = p.nodes[node];
      measure(p, window, p.centres + child * p.pitch, count, distances);
      const int64_t next = std::min_element(distances, distances + count) - distances;
      for (int64_t i = 0; i < count; ++i) {
        if (i == next) continue;
        aside.emplace_back(distances[i], child + i);
        std::push_heap(aside.begin(), aside.end(), std::greater<>());
      }
      node = child + next;
    }
    for (int64_t row = p.nodes[node].begin; row < p.nodes[node].end; row += at_once) {
      const int64_t count = std::min(at_once, p.nodes[node].end - row);
      measure(p, window, p.windows + row * p.pitch, count, distances);
      for (int64_t i = 0; i < count; ++i)
        if (distances[i] <= best.first) best = std::min(best, {distances[i], p.order[row + i]});
    }
  }
  return best.second;
}

}  // namespace

void texture_pixels(const Texture& p, int64_t first, int64_t last) {
  std::vector<uint8_t> window(p.pitch);
  std::vector<Branch> aside;
  for (int64_t at = first; at < last; ++at) {
    read_window(p, at / p.output.width, at % p.output.width, window.data());
    const int64_t found = nearest(p, window.data(), aside);
    p.chosen[at] = found;
    std::memcpy(p.output.pixels + at * p.channels, p.values + found * p.channels, p.channels);
  }
}

}  // namespace zfcuda::cpu

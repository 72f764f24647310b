// Lines of one window's map: of its patch where that has changed the map, else of the base map.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "patches.h"

namespace zfcuda::cpu {

// Spaced: positions are written `pitch` numbers apart, not one after the other.
template <class T, bool Spaced = false>
struct PatchLines {
  const T* base;
  const T* patches;
  int64_t height, width, channels;
  T blank;  // of positions outside the map
  int64_t pitch = 0;

  // Positions [x0, x1) of line y, `channels` numbers each; returns where they end.
  T* copy(const Rectangle& have, int64_t y, int64_t x0, int64_t x1, T* to) const {
    const auto paint = [&](int64_t count) { to = std::fill_n(to, count * (Spaced ? pitch : channels), blank); };
    const auto take = [&](const T* from, int64_t row, int64_t count) {
      if (count <= 0) return;
      from += row * channels;
      if constexpr (Spaced) {
        for (; count > 0; --count, from += channels, to += pitch) std::copy_n(from, channels, to);
      } else {
        std::memcpy(to, from, count * channels * sizeof(T));
        to += count * channels;
      }
    };
    if (y < 0 || y >= height) {
      paint(x1 - x0);
      return to;
    }
    // Left to right: padding, map, patch, map, padding.
    const int64_t m0 = std::clamp<int64_t>(0, x0, x1), m1 = std::clamp(width, m0, x1);
    const bool in_patch = y >= have.top && y < have.bottom;
    const int64_t p0 = in_patch ? std::clamp(have.left, m0, m1) : m1;
    const int64_t p1 = in_patch ? std::clamp(have.right, p0, m1) : m1;
    paint(m0 - x0);
    take(base, y * width + m0, p0 - m0);
    if (p1 > p0) take(patches, static_cast<int64_t>(have.place(y, p0)), p1 - p0);
    take(base, y * width + p1, m1 - p1);
    paint(x1 - m1);
    return to;
  }
};

}  // namespace zfcuda::cpu

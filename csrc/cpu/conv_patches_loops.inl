// The loops of the convolution of patches over working memory. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

inline int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

// Filters [O,C,kh,kw] -> [panel][ky][kx][c][kPanel], zeros beyond O.
inline void pack_panel(const float* weight, int64_t outputs, int64_t channels, int64_t taps, float* packed, int64_t panel) {
  float* to = packed + panel * taps * channels * kPanel;
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t j = 0; j < kPanel; ++j, ++to) {
        const int64_t o = panel * kPanel + j;
        *to = o < outputs ? weight[(o * channels + c) * taps + t] : 0.0f;
      }
}

// Rows of inputs times the filters, one output row each.
inline void direct_rows(const PatchConv& p, const DirectWork& w) {
  const Segments s{w.offsets, nullptr, w.segments, w.length};
  const int64_t panel_size = p.y.kernel * p.x.kernel * p.channels * kPanel;
  const int64_t tiles = (w.count + kTileRows - 1) / kTileRows;
  for (int64_t panel = w.first_panel; panel < w.past_panel; ++panel) {
    const int64_t o = panel * kPanel;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = w.count * t / tiles, end = w.count * (t + 1) / tiles;
      with_rows(static_cast<int>(end - begin), [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        FloatV sums[R][kPanelVectors];
        multiply<R>(w.inputs + begin, s, p.filters + panel * panel_size, sums);
        store_tile<R>(sums, p.bias == nullptr ? nullptr : p.bias + o, p.residual, p.limits, p.output, p.outputs - o,
                      [&](int r) { return w.outputs[begin + r] * p.outputs + o; });
      });
    }
  }
}

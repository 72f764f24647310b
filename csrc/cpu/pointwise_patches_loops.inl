// The loops of the 1x1 convolution of patches. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

// Channels of some rows, scaled, shifted and rectified: to[row * pitch + c]. scale, shift: of the first channel.
inline void prepare_rows(const float* const* rows, int64_t count, int64_t channels, const float* scale,
                         const float* shift, bool relu, float* to, int64_t pitch) {
  const auto some = [&](int64_t c, int64_t lanes) {
    FloatV a{}, b{};
    if (scale != nullptr) a = load_lanes(scale + c, lanes), b = load_lanes(shift + c, lanes);
    for (int64_t r = 0; r < count; ++r) {
      FloatV v = load_lanes(rows[r] + c, lanes);
      if (scale != nullptr) v = v * a + b;
      if (relu) v = v < 0.0f ? FloatV{} : v;
      store_lanes(to + r * pitch + c, v, lanes);
    }
  };
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) some(c, kLanes);
  if (c < channels) some(c, channels - c);
}

// Rows of inputs, each from several places, times the filters.
inline void pointwise_rows(const PointwisePatches& p, const PointwiseRows& w) {
  const int64_t panel_size = p.channels * kPanel, zero = 0;
  const int64_t tiles = (w.count + kTileRows - 1) / kTileRows;
  for (int64_t panel = w.first_panel; panel < w.past_panel; ++panel) {
    const int64_t o = panel * kPanel;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = w.count * t / tiles, end = w.count * (t + 1) / tiles;
      with_rows(static_cast<int>(end - begin), [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        FloatV sums[R][kPanelVectors] = {};
        const float* filters = p.filters + panel * panel_size;
        for (int64_t i = 0; i < w.sources; ++i) {
          multiply_add<R>(w.inputs + i * w.count + begin, Segments{&zero, nullptr, 1, w.lengths[i]}, filters, sums);
          filters += w.lengths[i] * kPanel;
        }
        for (int r = 0; r < R; ++r) {
          const int64_t row = (w.first + begin + r) * p.outputs + o;
          const Finish finish{p.bias == nullptr ? nullptr : p.bias + o, p.residual == nullptr ? nullptr : p.residual + row,
                              p.limits};
          for (int v = 0; v < kPanelVectors; ++v) {
            const int64_t left = p.outputs - o - v * kLanes;
            if (left > 0) store_lanes(p.output + row + v * kLanes, finish(sums[r][v], v * kLanes, left), left);
          }
        }
      });
    }
  }
}

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

// A tile of rows, each from several places, times a panel of the filters.
template <int Rows>
inline void pointwise_tile(const PointwisePatches& p, const PointwiseRows& w, int64_t begin, int64_t panel) {
  const int64_t zero = 0, o = panel * kPanel;
  FloatV sums[Rows][kPanelVectors];
  const float* filters = p.filters + panel * p.channels * kPanel;
  multiply<Rows>(w.inputs + begin, Segments{&zero, nullptr, 1, w.lengths[0]}, filters, sums);
  for (int64_t i = 1; i < w.sources; ++i) {
    filters += w.lengths[i - 1] * kPanel;
    multiply_add<Rows>(w.inputs + i * w.count + begin, Segments{&zero, nullptr, 1, w.lengths[i]}, filters, sums);
  }
  const int64_t first = (w.first + begin) * p.outputs + o;
  store_tile<Rows>(sums, p.bias == nullptr ? nullptr : p.bias + o, p.residual, p.limits, p.output, p.outputs - o,
                   [&](int r) { return first + r * p.outputs; });
}

// Some rows times the filters: a panel stays in the cache while it meets all of them.
inline void pointwise_rows(const PointwisePatches& p, const PointwiseRows& w) {
  const int64_t tiles = (w.count + kTileRows - 1) / kTileRows;
  for (int64_t panel = w.first_panel; panel < w.past_panel; ++panel)
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t begin = w.count * t / tiles, end = w.count * (t + 1) / tiles;
      with_rows(static_cast<int>(end - begin), [&](auto rows) { pointwise_tile<decltype(rows)::value>(p, w, begin, panel); });
    }
}

// The loops of the convolution of patches over working memory. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

inline int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

// Filters [O,C,kh,kw] -> [panel][ky][kx][c][kPanel], zeros beyond O.
inline void pack_direct(const float* weight, int64_t outputs, int64_t channels, int64_t taps, float* packed, int64_t panel) {
  float* to = packed + panel * taps * channels * kPanel;
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t j = 0; j < kPanel; ++j, ++to) {
        const int64_t o = panel * kPanel + j;
        *to = o < outputs ? weight[(o * channels + c) * taps + t] : 0.0f;
      }
}

// Filters [O,C,3,3] -> [16][panel][c][kPanel]: G g G^T of each.
inline void pack_winograd(const float* weight, int64_t outputs, int64_t channels, float* packed, int64_t panel) {
  float* to = packed + panel * channels * kPanel;
  const int64_t product = panels_of(outputs) * channels * kPanel;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t j = 0; j < kPanel; ++j) {
      const int64_t o = panel * kPanel + j;
      float g[3][3] = {}, rows[4][3];
      if (o < outputs) __builtin_memcpy(g, weight + (o * channels + c) * 9, sizeof g);
      for (int x = 0; x < 3; ++x) {
        rows[0][x] = g[0][x];
        rows[1][x] = 0.5f * (g[0][x] + g[1][x] + g[2][x]);
        rows[2][x] = 0.5f * (g[0][x] - g[1][x] + g[2][x]);
        rows[3][x] = g[2][x];
      }
      for (int y = 0; y < 4; ++y) {
        const float* r = rows[y];
        const float u[4] = {r[0], 0.5f * (r[0] + r[1] + r[2]), 0.5f * (r[0] - r[1] + r[2]), r[2]};
        for (int x = 0; x < 4; ++x) to[(y * 4 + x) * product + c * kPanel + j] = u[x];
      }
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
        for (int r = 0; r < R; ++r) {
          const int64_t row = w.outputs[begin + r] * p.outputs + o;
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

// B^T d B of one tile's 4 x 4 inputs, all channels: to[product * stride + c].
inline void transform_inputs(const float* from, int64_t columns, int64_t channels, float* to, int64_t stride) {
  const auto some = [&](int64_t c, int64_t lanes) {
    FloatV d[4][4];
    for (int y = 0; y < 4; ++y)
      for (int x = 0; x < 4; ++x) d[y][x] = load_lanes(from + (y * columns + x) * channels + c, lanes);
    FloatV t[4][4];
    for (int x = 0; x < 4; ++x) {
      t[0][x] = d[0][x] - d[2][x];
      t[1][x] = d[1][x] + d[2][x];
      t[2][x] = d[2][x] - d[1][x];
      t[3][x] = d[1][x] - d[3][x];
    }
    for (int y = 0; y < 4; ++y) {
      const FloatV v[4] = {t[y][0] - t[y][2], t[y][1] + t[y][2], t[y][2] - t[y][1], t[y][1] - t[y][3]};
      for (int x = 0; x < 4; ++x) store_lanes(to + (y * 4 + x) * stride + c, v[x], lanes);
    }
  };
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) some(c, kLanes);
  if (c < channels) some(c, channels - c);
}

// A^T m A of one tile, kLanes outputs from o on: m[product * pitch].
inline void transform_outputs(const PatchConv& p, const Placed& at, int64_t y, int64_t x, int64_t o, const float* m,
                              int64_t pitch) {
  const int64_t left = p.outputs - o;
  FloatV s0[4], s1[4];
  for (int j = 0; j < 4; ++j) {
    const auto in = [&](int k) { return load_as<FloatV>(m + (k * 4 + j) * pitch + o); };
    const FloatV m1 = in(1), m2 = in(2);
    s0[j] = in(0) + m1 + m2;
    s1[j] = m1 - m2 - in(3);
  }
  const FloatV out[kTile][kTile] = {{s0[0] + s0[1] + s0[2], s0[1] - s0[2] - s0[3]},
                                    {s1[0] + s1[1] + s1[2], s1[1] - s1[2] - s1[3]}};
  for (int64_t dy = 0; dy < kTile && y + dy < at.height; ++dy)
    for (int64_t dx = 0; dx < kTile && x + dx < at.width; ++dx) {
      const int64_t row = (at.row + (y + dy) * at.width + x + dx) * p.outputs + o;
      const Finish finish{p.bias == nullptr ? nullptr : p.bias + o, p.residual == nullptr ? nullptr : p.residual + row,
                          p.limits};
      store_lanes(p.output + row, finish(out[dy][dx], 0, left), left);
    }
}

inline void winograd_tiles(const PatchConv& p, const WinogradWork& w) {
  const int64_t channels = p.channels, tiles = w.tiles;
  float* to = w.transformed;
  for (int64_t i = 0; i < w.strips; ++i) {
    const Placed& at = w.placed[i];
    for (int64_t y = 0; y < at.height; y += kTile)
      for (int64_t x = 0; x < at.width; x += kTile, to += w.transformed_tile)
        transform_inputs(w.inputs + at.inputs + (y * at.columns + x) * channels, at.columns, channels, to,
                         w.transformed_product);
  }
  // One product after the other: its inputs stay in the cache while its filters pass by once.
  const int64_t groups = (tiles + kTileRows - 1) / kTileRows, zero = 0, panels = panels_of(p.outputs);
  const Segments s{&zero, nullptr, 1, channels};
  for (int64_t product = 0; product < kTileProducts; ++product)
    for (int64_t panel = w.first_panel; panel < w.past_panel; ++panel) {
      const float* const filters = p.filters + (product * panels + panel) * channels * kPanel;
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t begin = tiles * g / groups, end = tiles * (g + 1) / groups;
        with_rows(static_cast<int>(end - begin), [&](auto rows) {
          constexpr int R = decltype(rows)::value;
          const float* from[R];
          for (int r = 0; r < R; ++r)
            from[r] = w.transformed + product * w.transformed_product + (begin + r) * w.transformed_tile;
          FloatV sums[R][kPanelVectors];
          multiply<R>(from, s, filters, sums);
          float* const out = w.products + product * w.products_product + begin * w.products_tile + panel * kPanel;
          for (int r = 0; r < R; ++r)
            for (int v = 0; v < kPanelVectors; ++v) Simd<float>::store(out + r * w.products_tile + v * kLanes, sums[r][v]);
        });
      }
    }
  const float* m = w.products;
  const int64_t past = w.past_panel * kPanel < p.outputs ? w.past_panel * kPanel : p.outputs;
  for (int64_t i = 0; i < w.strips; ++i) {
    const Placed& at = w.placed[i];
    for (int64_t y = 0; y < at.height; y += kTile)
      for (int64_t x = 0; x < at.width; x += kTile, m += w.products_tile)
        for (int64_t o = w.first_panel * kPanel; o < past; o += kLanes) transform_outputs(p, at, y, x, o, m, w.products_product);
  }
}

inline void pack_panel(const float* weight, int64_t outputs, int64_t channels, int64_t taps, bool winograd, float* packed,
                       int64_t panel) {
  if (winograd)
    pack_winograd(weight, outputs, channels, packed, panel);
  else
    pack_direct(weight, outputs, channels, taps, packed, panel);
}

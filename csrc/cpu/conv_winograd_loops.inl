// The loops of Winograd's algorithm over working memory. No include guard: see foreach_isa.inl.
//
// The transforms of Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", in the order of conv_winograd.h.
// With these points instead of 0, 1, -1, 2, -2 the rounding of a 4x4 tile is half as large; their powers are exact.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

inline constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB;

inline int64_t panels_of(int64_t outputs) { return (outputs + kPanel - 1) / kPanel; }

// Filters [O,C,3,3] -> [products][panel][c][kPanel], zeros beyond O: G g G^T of each, rounded once. The factors are
// those of a piece of 4, and smaller ones put right what is theirs (see outputs_of).
inline void pack_tile_filters(const float* weight, int64_t outputs, int64_t channels, int64_t tile, float* packed, int64_t panel) {
  const int64_t side = products_of(tile), product = panels_of(outputs) * channels * kPanel;
  float* to = packed + panel * channels * kPanel;
  constexpr double a2 = kA2, b2 = kB2, of_zero = 1 / (a2 * b2), of_a = 1 / (2 * a2 * (a2 - b2)), of_b = 1 / (2 * b2 * (b2 - a2));
  const auto line = [](double g0, double g1, double g2, double (&u)[6][kPanel], int64_t j) {
    const double ea = (g0 + a2 * g2) * of_a, oa = g1 * (kA * of_a), eb = (g0 + b2 * g2) * of_b, ob = g1 * (kB * of_b);
    u[0][j] = g0 * of_zero;
    u[1][j] = g2;
    u[2][j] = ea + oa;
    u[3][j] = ea - oa;
    u[4][j] = eb + ob;
    u[5][j] = eb - ob;
  };
  double g[9][kPanel] = {}, lines[3][6][kPanel], u[6][kPanel];
  for (int64_t c = 0; c < channels; ++c, to += kPanel) {
    for (int64_t j = 0; j < kPanel && panel * kPanel + j < outputs; ++j)
      for (int t = 0; t < 9; ++t) g[t][j] = weight[((panel * kPanel + j) * channels + c) * 9 + t];
    for (int x = 0; x < 3; ++x)
      for (int64_t j = 0; j < kPanel; ++j) line(g[x][j], g[3 + x][j], g[6 + x][j], lines[x], j);
    for (int64_t y = 0; y < side; ++y) {
      for (int64_t j = 0; j < kPanel; ++j) line(lines[0][y][j], lines[1][y][j], lines[2][y][j], u, j);
      for (int64_t x = 0; x < side; ++x)
        for (int64_t j = 0; j < kPanel; ++j) to[(y * side + x) * product + j] = static_cast<float>(u[x][j]);
    }
  }
}

// B^T d of one side: M + 2 inputs become as many factors of the products.
template <int M>
inline __attribute__((always_inline)) void inputs_of(const FloatV (&d)[M + 2], FloatV (&t)[M + 2]) {
  if constexpr (M == 1) {
    t[0] = d[1] - kA * d[0];
    t[1] = d[2] - kA * d[1];
    t[2] = d[1];
  } else if constexpr (M == 2) {
    t[0] = d[2] - kA2 * d[0];
    t[1] = d[3] - kA2 * d[1];
    t[2] = d[2] + kA * d[1];
    t[3] = d[2] - kA * d[1];
  } else if constexpr (M == 3) {
    FloatV u[4];
    for (int i = 0; i < 4; ++i) u[i] = d[i + 1] - kB * d[i];
    t[0] = u[2] - kA2 * u[0];
    t[1] = u[3] - kA2 * u[1];
    t[2] = u[2] + kA * u[1];
    t[3] = u[2] - kA * u[1];
    t[4] = d[3] - kA2 * d[1];
  } else {
    const FloatV ea = d[4] - kB2 * d[2], oa = d[3] - kB2 * d[1], eb = d[4] - kA2 * d[2], ob = d[3] - kA2 * d[1];
    t[0] = eb - kB2 * (d[2] - kA2 * d[0]);
    t[1] = d[5] - kA2 * d[3] - kB2 * ob;
    t[2] = ea + kA * oa;
    t[3] = ea - kA * oa;
    t[4] = eb + kB * ob;
    t[5] = eb - kB * ob;
  }
}

// A^T m of one side: M + 2 products become M outputs.
template <int M>
inline __attribute__((always_inline)) void outputs_of(const FloatV (&m)[M + 2], FloatV (&o)[M]) {
  if constexpr (M == 1) {
    o[0] = m[1] - (kA * kB2) * m[0] + (2 * kA * (kA2 - kB2)) * m[2];
  } else if constexpr (M == 2) {
    o[0] = (kA2 - kB2) * (m[2] + m[3]) - kB2 * m[0];
    o[1] = (kA * (kA2 - kB2)) * (m[2] - m[3]) + m[1];
  } else if constexpr (M == 3) {
    const FloatV p = (kA + kB) * m[2], q = (kB - kA) * m[3], even = p + q, b = (2 * kB) * m[4];
    o[0] = kB * m[0] + even + b;
    o[1] = kA * (p - q) + kB * b;
    o[2] = kA2 * even + kB2 * b + m[1];
  } else {
    const FloatV ea = m[2] + m[3], oa = m[2] - m[3], eb = m[4] + m[5], ob = m[4] - m[5];
    o[0] = m[0] + ea + eb;
    o[1] = kA * oa + kB * ob;
    o[2] = kA2 * ea + kB2 * eb;
    o[3] = (kA2 * kA) * oa + (kB2 * kB) * ob + m[1];
  }
}

// All channels of one tile: to[product * stride + c], where a line has `side` products.
template <int H, int W>
inline void transform_inputs(const Tile& tile, int64_t channels, int64_t side, float* to, int64_t stride) {
  const auto some = [&](int64_t c, auto load, auto store) {
    FloatV t[H + 2][W + 2];
    for (int x = 0; x < W + 2; ++x) {
      FloatV d[H + 2], u[H + 2];
      for (int y = 0; y < H + 2; ++y) d[y] = load(tile.inputs + (y * tile.columns + x) * channels + c);
      inputs_of<H>(d, u);
      for (int y = 0; y < H + 2; ++y) t[y][x] = u[y];
    }
    for (int y = 0; y < H + 2; ++y) {
      FloatV u[W + 2];
      inputs_of<W>(t[y], u);
      for (int x = 0; x < W + 2; ++x) store(to + (y * side + x) * stride + c, u[x]);
    }
  };
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    some(c, [](const float* from) { return load_as<FloatV>(from); }, [](float* at, FloatV v) { Simd<float>::store(at, v); });
  if (c < channels)
    some(c, [&](const float* from) { return load_lanes(from, channels - c); },
         [&](float* at, FloatV v) { store_lanes(at, v, channels - c); });
}

// kLanes outputs from o on of one tile: m[product * stride].
template <int H, int W>
inline void transform_outputs(const PatchConv& p, const Tile& tile, int64_t side, const float* m, int64_t stride, int64_t o) {
  FloatV t[H][W + 2];
  for (int x = 0; x < W + 2; ++x) {
    FloatV d[H + 2], u[H];
    for (int y = 0; y < H + 2; ++y) d[y] = load_as<FloatV>(m + (y * side + x) * stride + o);
    outputs_of<H>(d, u);
    for (int y = 0; y < H; ++y) t[y][x] = u[y];
  }
  const int64_t left = p.outputs - o;
  for (int y = 0; y < H; ++y) {
    FloatV u[W];
    outputs_of<W>(t[y], u);
    for (int x = 0; x < W; ++x) {
      const int64_t row = (tile.row + y * tile.pitch + x) * p.outputs + o;
      const Finish finish{p.bias == nullptr ? nullptr : p.bias + o, p.residual == nullptr ? nullptr : p.residual + row,
                          p.limits};
      store_lanes(p.output + row, finish(u[x], 0, left), left);
    }
  }
}

// Calls f(height, width as compile-time constants).
template <int H = kLargestTile, int W = kLargestTile, class F>
inline __attribute__((always_inline)) void with_size(const Tile& tile, const F& f) {
  if constexpr (H > 0 && W > 0) {
    if (tile.height < H)
      with_size<H - 1, W>(tile, f);
    else if (tile.width < W)
      with_size<H, W - 1>(tile, f);
    else
      f(std::integral_constant<int, H>{}, std::integral_constant<int, W>{});
  }
}

// Tiles [first, past) of the work; they alone have inputs.
inline void winograd_inputs(const PatchConv& p, const WinogradWork& w, int64_t first, int64_t past) {
  for (int64_t i = first; i < past; ++i)
    with_size(w.tiles[i], [&](auto height, auto width) {
      transform_inputs<decltype(height)::value, decltype(width)::value>(
          w.tiles[i], p.channels, products_of(w.tile), w.transformed + i * w.transformed_tile, w.transformed_product);
    });
}

// The chosen tiles' sums over the channels for one product.
inline void winograd_product(const PatchConv& p, const WinogradWork& w, int64_t product, int64_t count) {
  const int64_t groups = (count + kTileRows - 1) / kTileRows, zero = 0, panels = panels_of(p.outputs);
  const Segments s{&zero, nullptr, 1, p.channels};
  const float* const inputs = w.transformed + product * w.transformed_product;
  for (int64_t panel = w.first_panel; panel < w.past_panel; ++panel) {
    const float* const filters = p.filters + (product * panels + panel) * p.channels * kPanel;
    float* const out = w.products + product * w.products_product + panel * kPanel;
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t begin = count * g / groups, end = count * (g + 1) / groups;
      with_rows(static_cast<int>(end - begin), [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        const float* from[R];
        for (int r = 0; r < R; ++r) from[r] = inputs + w.chosen[begin + r] * w.transformed_tile;
        FloatV sums[R][kPanelVectors];
        multiply<R>(from, s, filters, sums);
        for (int r = 0; r < R; ++r)
          for (int v = 0; v < kPanelVectors; ++v)
            Simd<float>::store(out + w.chosen[begin + r] * w.products_tile + v * kLanes, sums[r][v]);
      });
    }
  }
}

inline void winograd_outputs(const PatchConv& p, const WinogradWork& w) {
  // One product after the other: its inputs stay in the cache while its filters pass by once.
  const int64_t side = products_of(w.tile);
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      int64_t count = 0;
      for (int64_t i = 0; i < w.count; ++i)
        if (y < products_of(w.tiles[i].height) && x < products_of(w.tiles[i].width)) w.chosen[count++] = i;
      winograd_product(p, w, y * side + x, count);
    }
  const int64_t past = w.past_panel * kPanel < p.outputs ? w.past_panel * kPanel : p.outputs;
  for (int64_t i = 0; i < w.count; ++i)
    with_size(w.tiles[i], [&](auto height, auto width) {
      for (int64_t o = w.first_panel * kPanel; o < past; o += kLanes)
        transform_outputs<decltype(height)::value, decltype(width)::value>(
            p, w.tiles[i], side, w.products + i * w.products_tile, w.products_product, o);
    });
}

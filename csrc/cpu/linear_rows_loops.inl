// The loops of linear layers over working memory. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

// std's are shared templates, see foreach_isa.inl.
inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

// to[i * pitch + j] = from[j * stride + i] for j < kPanel and i < n, which is at least kLanes. The last numbers are written
// twice where kLanes does not divide n. A line of each row is read in one go: the rows lie a power of two apart as a
// rule, and more of them than the cache holds lines for.
inline void transpose_panel(const float* from, int64_t stride, int64_t n, float* to, int64_t pitch) {
  constexpr int64_t line = 16;
  for (int64_t first = 0; first < n; first += line)
    for (int v = 0; v < kPanelVectors; ++v)
      for (int64_t i = first; i < lesser(first + line, n); i += kLanes) {
        const int64_t at = lesser(i, n - kLanes);
        FloatV rows[kLanes];
        for (int r = 0; r < kLanes; ++r) rows[r] = load_as<FloatV>(from + (v * kLanes + r) * stride + at);
        transpose(rows);
        for (int r = 0; r < kLanes; ++r) Simd<float>::store(to + (at + r) * pitch + v * kLanes, rows[r]);
      }
}

// The weights of a panel's outputs for channels [begin, end), zeros beyond O: [positions][end - begin][kPanel]. The rows'
// inputs lie by position, the weight's by channel.
inline void pack_channels(const LinearRows& p, int64_t panel, int64_t begin, int64_t end, float* packed) {
  const int64_t o = panel * kPanel, count = lesser(kPanel, p.outputs - o), positions = p.positions(), inputs = p.inputs();
  const float* const weight = p.weight + o * inputs;
  if (count < kPanel) __builtin_memset(packed, 0, positions * (end - begin) * kPanel * sizeof(float));
  // What lies together: the positions of a channel, or the channels of the only position.
  const int64_t length = positions == 1 ? end - begin : positions;
  const int64_t pitch = positions == 1 ? kPanel : (end - begin) * kPanel;
  for (int64_t c = begin; c < end; c += positions == 1 ? length : 1) {
    const float* const from = weight + c * positions;
    float* const to = packed + (c - begin) * kPanel;
    if (count == kPanel && length >= kLanes) {
      transpose_panel(from, inputs, length, to, pitch);
      continue;
    }
    for (int64_t j = 0; j < count; ++j)
      for (int64_t i = 0; i < length; ++i) to[i * pitch + j] = from[j * inputs + i];
  }
}

// Channels [first, past) of a row where any row of its tile has numbers: [positions][past - first].
inline void copy_channels(const LinearRows& p, int64_t row, const Rectangle& r, int64_t first, int64_t past, float* to) {
  const int64_t length = past - first;
  for (int64_t y = r.top; y < r.bottom; ++y)
    for (int64_t x = r.left; x < r.right; ++x) {
      const int64_t position = y * p.width + x;
      const float* const from = p.input + row * p.inputs() + position * p.channels + first;
      int64_t i = 0;
      for (; i + kLanes <= length; i += kLanes)
        Simd<float>::store(to + position * length + i, load_as<FloatV>(from + i));
      for (; i < length; ++i) to[position * length + i] = from[i];
    }
}

// The positions that any of the rows has, as a rectangle.
inline Rectangle positions_of(const LinearRows& p, int64_t begin, int64_t end) {
  if (p.have == nullptr) return {0, 0, p.height, p.width, 0};
  Rectangle all{p.height, p.width, 0, 0, 0};
  for (int64_t i = begin; i < end; ++i) {
    const Rectangle r = Rectangle::of(p.have, i);
    if (r.empty()) continue;
    all.top = lesser(all.top, greater(r.top, 0));
    all.left = lesser(all.left, greater(r.left, 0));
    all.bottom = greater(all.bottom, lesser(r.bottom, p.height));
    all.right = greater(all.right, lesser(r.right, p.width));
  }
  return all;
}

// The outputs of panels [panel, past) for rows [begin, end). Some channels of all rows are taken at a time, with the
// panels' weights for them, and their products added up: rows and weights are read from memory once. Working memory of a
// thread: packed: those weights of kPanelsAtOnce panels; sums: [past - panel][end - begin][kPanel]; copied: those numbers
// of the rows; places: one for each line of the map.
inline void linear_panels(const LinearRows& p, int64_t panel, int64_t past, int64_t begin, int64_t end, float* packed,
                          float* sums, float* copied, int64_t* places) {
  const int64_t positions = p.positions(), count = end - begin, channels = channels_at_once(p), pitch = copied_pitch(p);
  const int64_t tiles = (count + kTileRows - 1) / kTileRows;
  for (int64_t first = 0; first < p.channels; first += channels) {
    const int64_t length = lesser(channels, p.channels - first), size = positions * length * kPanel;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = count * t / tiles, to = count * (t + 1) / tiles;
      const Rectangle changed = positions_of(p, begin + from, begin + to);
      for (int64_t i = from; i < to; ++i) copy_channels(p, begin + i, changed, first, first + length, copied + i * pitch);
    }
    for (int64_t i = panel; i < past; i += kPanelsAtOnce) {
      const int64_t panels = lesser(kPanelsAtOnce, past - i);
      for (int64_t j = 0; j < panels; ++j) pack_channels(p, i + j, first, first + length, packed + j * size);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = count * t / tiles, to = count * (t + 1) / tiles;
        const Rectangle changed = positions_of(p, begin + from, begin + to);
        if (changed.empty() && first > 0) continue;
        // A run for each line of the map; one for all lines where they are whole.
        const bool whole = changed.left == 0 && changed.right == p.width;
        const int64_t runs = changed.empty() ? 0 : whole ? 1 : changed.bottom - changed.top;
        const int64_t run = (changed.right - changed.left) * length * (whole ? changed.bottom - changed.top : 1);
        for (int64_t y = 0; y < runs; ++y) places[y] = ((changed.top + y) * p.width + changed.left) * length;
        with_rows(static_cast<int>(to - from), [&](auto rows) {
          constexpr int R = decltype(rows)::value;
          const float* at[R];
          for (int r = 0; r < R; ++r) at[r] = copied + (from + r) * pitch;
          for (int64_t j = 0; j < panels; ++j) {
            float* const sum = sums + ((i + j - panel) * count + from) * kPanel;
            FloatV acc[R][kPanelVectors];
            for (int r = 0; r < R; ++r)
              for (int v = 0; v < kPanelVectors; ++v)
                acc[r][v] = first > 0 ? load_as<FloatV>(sum + r * kPanel + v * kLanes) : FloatV{};
            multiply_add<R>(at, Segments{places, places, runs, run}, packed + j * size, acc);
            for (int r = 0; r < R; ++r)
              for (int v = 0; v < kPanelVectors; ++v) Simd<float>::store(sum + r * kPanel + v * kLanes, acc[r][v]);
          }
        });
      }
    }
  }
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = panel; i < past; ++i)
      for (int64_t j = 0, o = i * kPanel; j < kPanel && o < p.outputs; j += kLanes, o += kLanes) {
        FloatV sum = load_as<FloatV>(sums + ((i - panel) * count + r) * kPanel + j);
        if (p.bias != nullptr) sum += load_lanes(p.bias + o, p.outputs - o);
        store_lanes(p.output + (begin + r) * p.outputs + o, sum, p.outputs - o);
      }
}

// Outputs [first, past) of all rows, as dot products: for few rows.
inline void linear_dots(const LinearRows& p, int64_t first, int64_t past) {
  constexpr int kOutputs = 4;  // at once, so that a row is read once for them
  const int64_t inputs = p.inputs();
  for (int64_t o = first; o < past; o += kOutputs) {
    const float* weights[kOutputs];
    const int64_t outputs = lesser(kOutputs, past - o);
    for (int64_t j = 0; j < kOutputs; ++j) weights[j] = p.weight + (o + lesser(j, outputs - 1)) * inputs;
    for (int64_t row = 0; row < p.rows; row += kRowsOfDots)
      with_rows<kRowsOfDots>(static_cast<int>(lesser(kRowsOfDots, p.rows - row)), [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        FloatV sums[R][kOutputs] = {};
        const auto add = [&](int64_t k, int64_t lanes) {
          FloatV w[kOutputs];
          for (int j = 0; j < kOutputs; ++j) w[j] = load_lanes(weights[j] + k, lanes);
          for (int r = 0; r < R; ++r) {
            const FloatV x = load_lanes(p.input + (row + r) * inputs + k, lanes);
            for (int j = 0; j < kOutputs; ++j) sums[r][j] += x * w[j];
          }
        };
        int64_t k = 0;
        for (; k + kLanes <= inputs; k += kLanes) add(k, kLanes);
        if (k < inputs) add(k, inputs - k);
        for (int r = 0; r < R; ++r)
          for (int64_t j = 0; j < outputs; ++j) {
            float halves[kLanes];
            Simd<float>::store(halves, sums[r][j]);
            for (int n = kLanes / 2; n > 0; n /= 2)
              for (int i = 0; i < n; ++i) halves[i] += halves[i + n];
            p.output[(row + r) * p.outputs + o + j] = halves[0] + (p.bias == nullptr ? 0.0f : p.bias[o + j]);
          }
      });
  }
}

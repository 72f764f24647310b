// The loops of linear layers over working memory. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"
#include "cpu/gemm_tile.inl"

// std's are shared templates, see foreach_isa.inl.
inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t greater(int64_t a, int64_t b) { return a > b ? a : b; }

// The weights of a panel's outputs, zeros beyond O: [runs][run + 1][kPanel], the last of each run left out. The rows'
// inputs lie by position, the weight's by channel. A few numbers are read of each output in turn: the outputs lie a
// power of two apart as a rule, so that reading one number of each would find none of them in the cache.
inline void pack_inputs(const LinearRows& p, int64_t panel, float* packed) {
  const int64_t o = panel * kPanel, count = lesser(kPanel, p.outputs - o), positions = p.positions(), inputs = p.inputs();
  const int64_t run = run_of(p), pitch = (run + 1) * kPanel;
  const float* const weight = p.weight + o * inputs;
  if (count < kPanel) __builtin_memset(packed, 0, runs_of(p) * pitch * sizeof(float));
  if (positions == 1) {
    constexpr int64_t line = 16;
    static_assert(kRun % line == 0, "no line in two runs");
    for (int64_t k = 0; k < inputs; k += line) {
      float* const to = packed + k / run * pitch + k % run * kPanel;
      for (int64_t j = 0; j < count; ++j)
        for (int64_t i = 0, n = lesser(line, inputs - k); i < n; ++i) to[i * kPanel + j] = weight[j * inputs + k + i];
    }
    return;
  }
  for (int64_t c = 0; c < p.channels; ++c)
    for (int64_t j = 0; j < count; ++j) {
      const float* const from = weight + j * inputs + c * positions;
      for (int64_t i = 0; i < positions; ++i) packed[i * pitch + c * kPanel + j] = from[i];
    }
}

// The positions that any of the rows has, as a rectangle.
inline Rectangle positions_of(const LinearRows& p, int64_t begin, int64_t end) {
  Rectangle all{p.height, p.width, 0, 0, 0};
  for (int64_t i = begin; i < end; ++i) {
    const Rectangle r = Rectangle::of(p.have, i);
    if (r.empty()) continue;
    all.top = lesser(all.top, r.top);
    all.left = lesser(all.left, r.left);
    all.bottom = greater(all.bottom, r.bottom);
    all.right = greater(all.right, r.right);
  }
  return all;
}

// `panels` panels of outputs from the given one on, for rows [begin, end). packed: the weights of the panels; sums:
// [end - begin][panels][kPanel]; places: two lists of the runs of a block.
inline void linear_panels(const LinearRows& p, int64_t panel, int64_t panels, int64_t begin, int64_t end, float* packed,
                          float* sums, int64_t* places) {
  const int64_t run = run_of(p), runs = runs_of(p), inputs = p.inputs(), count = end - begin;
  const int64_t tiles = (count + kTileRows - 1) / kTileRows, width = panels * kPanel;
  const int64_t size = runs * (run + 1) * kPanel, block = runs_at_once(p);
  int64_t* const offsets = places + block;
  for (int64_t i = 0; i < panels; ++i) pack_inputs(p, panel + i, packed + i * size);
  for (int64_t i = 0; i < count * width; ++i) sums[i] = 0.0f;
  for (int64_t first = 0; first < runs; first += block) {
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t from = count * t / tiles, to = count * (t + 1) / tiles;
      const Rectangle changed =
          p.have == nullptr ? Rectangle{0, 0, p.height, p.width, 0} : positions_of(p, begin + from, begin + to);
      int64_t full = 0, rest = 0;
      for (int64_t i = first; i < lesser(runs, first + block); ++i) {
        const int64_t position = p.positions() == 1 ? 0 : i;
        if (p.have != nullptr && !changed.holds(position / p.width, position % p.width)) continue;
        places[full] = i * (run + 1);
        offsets[full] = i * run;
        // The last run of a single position may be shorter.
        (inputs - i * run >= run ? full : rest) += inputs - i * run >= run ? 1 : inputs - i * run;
      }
      if (full == 0 && rest == 0) continue;
      with_rows(static_cast<int>(to - from), [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        const float* at[R];
        for (int r = 0; r < R; ++r) at[r] = p.input + (begin + from + r) * p.pitch;
        for (int64_t i = 0; i < panels; ++i) {
          FloatV acc[R][kPanelVectors];
          float* const sum = sums + from * width + i * kPanel;
          for (int r = 0; r < R; ++r)
            for (int v = 0; v < kPanelVectors; ++v) acc[r][v] = load_as<FloatV>(sum + r * width + v * kLanes);
          const float* const weights = packed + i * size;
          multiply_add<R>(at, Segments{offsets, places, full, run}, weights, acc);
          if (rest > 0) multiply_add<R>(at, Segments{offsets + full, places + full, 1, rest}, weights, acc);
          for (int r = 0; r < R; ++r)
            for (int v = 0; v < kPanelVectors; ++v) Simd<float>::store(sum + r * width + v * kLanes, acc[r][v]);
        }
      });
    }
  }
  const int64_t o = panel * kPanel;
  const Finish finish{p.bias == nullptr ? nullptr : p.bias + o, nullptr, {}};
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < width; j += kLanes) {
      const int64_t left = p.outputs - o - j;
      if (left > 0)
        store_lanes(p.output + (begin + i) * p.outputs + o + j, finish(load_as<FloatV>(sums + i * width + j), j, left), left);
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
            const FloatV x = load_lanes(p.input + (row + r) * p.pitch + k, lanes);
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

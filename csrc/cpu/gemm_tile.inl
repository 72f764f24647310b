// The multiply-add kernel under convolution and linear layers: a tile of rows times a panel of outputs, in registers.
// No include guard: see foreach_isa.inl.

constexpr int kLanes = VECTOR_BYTES / 4;
constexpr int kPanelVectors = 2;
constexpr int64_t kPanel = kPanelVectors * kLanes;  // outputs of a panel
// Accumulators, the panel's two vectors and one broadcast fill the registers: 32 with AVX-512, else 16.
constexpr int kTileRows = VECTOR_BYTES == 64 ? 14 : 6;

// The inputs of a row: `count` runs of `length` numbers, at the same offsets from the first of every row, and each
// run's place in the panel.
struct Segments {
  const int64_t* offsets;
  const int64_t* places;  // null: one after the other
  int64_t count, length;
};

// sums[r][v] += the products of row r with the panel, [...][kPanel].
template <int Rows>
inline __attribute__((always_inline)) void multiply_add(const float* const* rows, const Segments& s, const float* panel,
                                                        FloatV (&sums)[Rows][kPanelVectors]) {
  for (int64_t i = 0; i < s.count; ++i) {
    const float* at[Rows];
    for (int r = 0; r < Rows; ++r) at[r] = rows[r] + s.offsets[i];
    const float* b = panel + (s.places == nullptr ? i * s.length : s.places[i]) * kPanel;
    for (int64_t k = 0; k < s.length; ++k, b += kPanel) {
      const FloatV b0 = load_as<FloatV>(b), b1 = load_as<FloatV>(b + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const FloatV a = at[r][k] - FloatV{};
        sums[r][0] += a * b0;
        sums[r][1] += a * b1;
      }
    }
  }
}

template <int Rows>
inline __attribute__((always_inline)) void multiply(const float* const* rows, const Segments& s, const float* panel,
                                                    FloatV (&sums)[Rows][kPanelVectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < kPanelVectors; ++v) sums[r][v] = FloatV{};
  multiply_add<Rows>(rows, s, panel, sums);
}

inline void store_lanes(float* to, FloatV v, int64_t count) {
  if (count >= kLanes)
    Simd<float>::store(to, v);
  else
    for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}

inline FloatV load_lanes(const float* from, int64_t count) {
  if (count >= kLanes) return load_as<FloatV>(from);
  FloatV v{};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}

// What becomes of a sum before it is stored: bias, another map, limits.
struct Finish {
  const float* bias;      // of the panel's first output, or null
  const float* residual;  // of the row's first output in the panel, or null
  Limits limits;

  FloatV operator()(FloatV sum, int64_t at, int64_t count) const {
    if (bias != nullptr) sum += load_lanes(bias + at, count);
    if (residual != nullptr) sum += load_lanes(residual + at, count);
    sum = sum < limits.low ? limits.low - FloatV{} : sum;
    return sum > limits.high ? limits.high - FloatV{} : sum;
  }
};

// Finishes a tile of sums and stores it: row r at place(r), counted from `output` and `residual` as from the panel's
// first output. left: outputs from there on. Whole panels never leave the registers.
template <int Rows, class Place>
inline __attribute__((always_inline)) void store_tile(const FloatV (&sums)[Rows][kPanelVectors], const float* bias,
                                                      const float* residual, const Limits& limits, float* output,
                                                      int64_t left, const Place& place) {
  if (left < kPanel) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const int64_t row = place(r);
      const Finish finish{bias, residual == nullptr ? nullptr : residual + row, limits};
      for (int v = 0; v < kPanelVectors; ++v)
        if (left > v * kLanes)
          store_lanes(output + row + v * kLanes, finish(sums[r][v], v * kLanes, left - v * kLanes), left - v * kLanes);
    }
    return;
  }
  const FloatV low = limits.low - FloatV{}, high = limits.high - FloatV{};
  FloatV added[kPanelVectors];
  for (int v = 0; v < kPanelVectors; ++v) added[v] = bias == nullptr ? FloatV{} : load_as<FloatV>(bias + v * kLanes);
  const auto all = [&](auto more) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const int64_t row = place(r);
      for (int v = 0; v < kPanelVectors; ++v) {
        FloatV sum = sums[r][v] + added[v];
        if constexpr (decltype(more)::value) sum += load_as<FloatV>(residual + row + v * kLanes);
        sum = sum < low ? low : sum;
        sum = sum > high ? high : sum;
        Simd<float>::store(output + row + v * kLanes, sum);
      }
    }
  };
  residual == nullptr ? all(std::false_type{}) : all(std::true_type{});
}

// Calls f(rows as a compile-time constant).
template <int Most = kTileRows, class F>
inline __attribute__((always_inline)) void with_rows(int rows, const F& f) {
  if constexpr (Most > 0) {
    if (rows == Most)
      f(std::integral_constant<int, Most>{});
    else
      with_rows<Most - 1>(rows, f);
  }
}

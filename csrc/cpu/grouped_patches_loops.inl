// The loops of the convolution of patches in groups of channels. No include guard: see foreach_isa.inl.

#include "cpu/simd.inl"

constexpr int kLanes = VECTOR_BYTES / 4;
// Neighbouring outputs whose sums stay in registers, beside a line of filters or what they are multiplied with.
constexpr int kNeighbours = 6;
constexpr int kRowsOfOne = 8, kRowsOfTwo = VECTOR_BYTES == 64 ? 12 : 6;

// Calls f(count as a compile-time constant).
template <int Most, class F>
inline __attribute__((always_inline)) void with_count(int count, const F& f) {
  if constexpr (Most > 0) {
    if (count == Most)
      f(std::integral_constant<int, Most>{});
    else
      with_count<Most - 1>(count, f);
  }
}

inline FloatV limited(FloatV v, const Limits& limits) {
  v = v < limits.low ? limits.low - FloatV{} : v;
  return v > limits.high ? limits.high - FloatV{} : v;
}

// Count neighbouring outputs of a line. Kernel: its columns, Stride: from one output to the next, no dilation; then each
// input is read once for all that it is part of. Kernel 0: any of these.
template <int Kernel, int Stride, int Count>
inline __attribute__((always_inline)) void depthwise_outputs(const GroupedConv& p, const float* const* inputs,
                                                             int64_t columns, int64_t row) {
  const int64_t channels = p.groups.count, kernel = Kernel > 0 ? Kernel : p.x.kernel;
  const Blocks<float> blocks{channels};
  const auto load = [&](const float* from) {
    if constexpr (Kernel > 0)
      return load_as<FloatV>(from);
    else
      return blocks.load(from);
  };
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t c = blocks.start(b);
    FloatV sums[Count];
    for (int n = 0; n < Count; ++n) sums[n] = FloatV{};
    const float* filter = p.filters + c;
    const float* const* line = inputs;
    for (int64_t ky = 0; ky < p.y.kernel; ++ky, line += p.y.dilation * columns, filter += kernel * channels) {
      if constexpr (Kernel > 0) {
        FloatV taps[Kernel];
#pragma GCC unroll 8
        for (int kx = 0; kx < Kernel; ++kx) taps[kx] = load_as<FloatV>(filter + kx * channels);
#pragma GCC unroll 32
        for (int i = 0; i < (Count - 1) * Stride + Kernel; ++i) {
          const FloatV input = load_as<FloatV>(line[i] + c);
#pragma GCC unroll 8
          for (int n = 0; n < Count; ++n)
            if (i >= n * Stride && i < n * Stride + Kernel) sums[n] += input * taps[i - n * Stride];
        }
      } else {
        for (int64_t kx = 0; kx < kernel; ++kx) {
          const FloatV tap = load(filter + kx * channels);
#pragma GCC unroll 8
          for (int n = 0; n < Count; ++n) sums[n] += load(line[n * p.x.stride + kx * p.x.dilation] + c) * tap;
        }
      }
    }
    const FloatV bias = p.bias == nullptr ? FloatV{} : load(p.bias + c);
#pragma GCC unroll 8
    for (int n = 0; n < Count; ++n) {
      const int64_t at = (row + n) * channels + c;
      FloatV sum = sums[n] + bias;
      if (p.residual != nullptr) sum += load(p.residual + at);
      sum = limited(sum, p.limits);
      if constexpr (Kernel > 0)
        Simd<float>::store(p.output + at, sum);
      else
        blocks.store(p.output + at, sum);
    }
  }
}

template <int Kernel, int Stride>
inline void depthwise_outputs_of(const GroupedConv& p, const DepthwiseLine& line) {
  const int64_t parts = (line.width + kNeighbours - 1) / kNeighbours;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t first = line.width * i / parts, past = line.width * (i + 1) / parts;
    const float* const* inputs = line.inputs + first * p.x.stride;
    with_count<kNeighbours>(static_cast<int>(past - first), [&](auto count) {
      depthwise_outputs<Kernel, Stride, decltype(count)::value>(p, inputs, line.columns, line.row + first);
    });
  }
}

inline void depthwise_line(const GroupedConv& p, const DepthwiseLine& line) {
  const int64_t kernel = p.x.kernel, stride = p.x.stride;
  const bool plain = p.x.dilation == 1 && p.groups.count >= kLanes;
  if (plain && kernel == 3 && stride == 1)
    depthwise_outputs_of<3, 1>(p, line);
  else if (plain && kernel == 3 && stride == 2)
    depthwise_outputs_of<3, 2>(p, line);
  else if (plain && kernel == 5 && stride == 1)
    depthwise_outputs_of<5, 1>(p, line);
  else if (plain && kernel == 5 && stride == 2)
    depthwise_outputs_of<5, 2>(p, line);
  else if (plain && kernel == 7 && stride == 1)
    depthwise_outputs_of<7, 1>(p, line);
  else
    depthwise_outputs_of<0, 0>(p, line);
}

// Filters [O,C/groups,kh,kw] of one unit; zeros beyond its outputs.
inline void pack_unit(const float* weight, const Groups& g, int64_t taps, float* packed, int64_t unit) {
  float* to = packed + unit * g.packed_unit(taps);
  const int64_t first = g.first(unit) * g.outputs, outputs = g.groups_in(unit) * g.outputs;
  for (int64_t v = 0; v < g.vectors(); ++v)
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < g.inputs; ++c)
        for (int64_t lane = 0; lane < g.lanes; ++lane, ++to) {
          const int64_t o = v * g.lanes + lane;
          *to = o < outputs ? weight[((first + o) * g.inputs + c) * taps + t] : 0.0f;
        }
}

// The inputs of a unit at these positions, as unit_rows reads them: those of its group, or [input of a group][lane].
inline void read_unit(const GroupedConv& p, const float* const* from, int64_t positions, int64_t unit, float* to) {
  const Groups& g = p.groups;
  const int64_t channel = g.first(unit) * g.inputs, inputs = g.groups_in(unit) * g.inputs;
  if (!g.shared()) {
    for (int64_t i = 0; i < positions; ++i, to += inputs) __builtin_memcpy(to, from[i] + channel, inputs * sizeof(float));
    return;
  }
  IntV places;  // of the first input of each lane's group; lanes that stand for nothing read what the last group does
  for (int64_t lane = 0; lane < kLanes; ++lane)
    places[lane] = static_cast<int32_t>(std::min(lane / g.outputs, g.groups_in(unit) - 1) * g.inputs);
  if (inputs <= kLanes) {
    for (int64_t i = 0; i < positions; ++i) {
      const FloatV all = inputs == kLanes ? load_as<FloatV>(from[i] + channel) : load_part(from[i] + channel, inputs);
      for (int32_t c = 0; c < g.inputs; ++c, to += kLanes) Simd<float>::store(to, __builtin_shuffle(all, places + c));
    }
    return;
  }
  for (int64_t i = 0; i < positions; ++i)
    for (int64_t c = 0; c < g.inputs; ++c)
      for (int64_t lane = 0; lane < kLanes; ++lane) *to++ = from[i][channel + places[lane] + c];
}

inline void store_outputs(const GroupedConv& p, int64_t row, int64_t o, int64_t count, FloatV sum) {
  const int64_t at = row * p.outputs() + o;
  if (count >= kLanes) {
    if (p.bias != nullptr) sum += load_as<FloatV>(p.bias + o);
    if (p.residual != nullptr) sum += load_as<FloatV>(p.residual + at);
    Simd<float>::store(p.output + at, limited(sum, p.limits));
  } else {
    if (p.bias != nullptr) sum += load_part(p.bias + o, count);
    if (p.residual != nullptr) sum += load_part(p.residual + at, count);
    store_part(p.output + at, limited(sum, p.limits), count);
  }
}

// Some rows times one or two vectors of a unit's outputs. panel: [vector][taps and inputs][lane], a vector `next` from
// the one before. Shared: several groups share the vector.
template <bool Shared, int Rows, int Vectors>
inline __attribute__((always_inline)) void unit_tile(const GroupedConv& p, const UnitWork& w, int64_t first, int64_t vector,
                                                     const float* panel, int64_t next) {
  FloatV sums[Rows][Vectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) sums[r][v] = FloatV{};
  for (int64_t i = 0; i < w.segments; ++i) {
    const float* at[Rows];
    for (int r = 0; r < Rows; ++r) at[r] = w.inputs[first + r] + w.offsets[i];
    for (int64_t k = 0; k < w.length; ++k, panel += kLanes) {
      FloatV taps[Vectors];
      for (int v = 0; v < Vectors; ++v) taps[v] = load_as<FloatV>(panel + v * next);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const FloatV input = Shared ? load_as<FloatV>(at[r] + k * kLanes) : at[r][k] - FloatV{};
        for (int v = 0; v < Vectors; ++v) sums[r][v] += input * taps[v];
      }
    }
  }
  const Groups& g = p.groups;
  const int64_t o = g.first(w.unit) * g.outputs, outputs = g.groups_in(w.unit) * g.outputs;
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) {
      const int64_t at = (vector + v) * kLanes;
      store_outputs(p, w.outputs[first + r], o + at, std::min<int64_t>(kLanes, outputs - at), sums[r][v]);
    }
}

template <bool Shared, int Most, int Vectors>
inline void unit_vectors(const GroupedConv& p, const UnitWork& w, int64_t vector) {
  const int64_t next = w.segments * w.length * kLanes, tiles = (w.count + Most - 1) / Most;
  const float* panel = p.filters + w.unit * p.groups.packed_unit(p.y.kernel * p.x.kernel) + vector * next;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = w.count * t / tiles, end = w.count * (t + 1) / tiles;
    with_count<Most>(static_cast<int>(end - begin), [&](auto rows) {
      unit_tile<Shared, decltype(rows)::value, Vectors>(p, w, begin, vector, panel, next);
    });
  }
}

inline void unit_rows(const GroupedConv& p, const UnitWork& w) {
  if (p.groups.shared()) return unit_vectors<true, kRowsOfOne, 1>(p, w, 0);
  const int64_t vectors = p.groups.vectors();
  int64_t v = 0;
  for (; v + 2 <= vectors; v += 2) unit_vectors<false, kRowsOfTwo, 2>(p, w, v);
  if (v < vectors) unit_vectors<false, kRowsOfOne, 1>(p, w, v);
}

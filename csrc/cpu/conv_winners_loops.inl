// The way back through a convolution whose output was pooled, for one instruction set. No include guard: see
// foreach_isa.inl.
//
// A pooled value's gradient belongs to one pixel of the convolution's output, its winner; all other pixels have none. So
// each winner adds its value times its patch of the map to the gradient of its filter, and its value times its filter to
// the gradient of that patch: with windows of stride 2 a quarter of the arithmetic, and the gradient of the convolution's
// output, most of it zeros, is never written.
#include "cpu/simd.inl"
#include "pooling.inl"

constexpr int64_t kWinnerLanes = Simd<float>::lanes;
// Vectors of a filter that are held in registers, of which AVX-512 has 32, the others 16.
#ifdef __SANITIZE_ADDRESS__
constexpr int kHeld = 3;  // each vector is checked, and all that may be held would compile for minutes
#else
constexpr int kHeld = VECTOR_BYTES == 64 ? 16 : 12;
#endif
// Windows whose winners are listed together, so that what is held is loaded and stored rarely.
constexpr int64_t kListed = 16;

// The winners of a few rows of windows by channel: what each adds, and where its patch begins in the padded map.
struct WinnerLists {
  Scratch<float> values;
  Scratch<int64_t> offsets, ends;  // the lists lie `length` apart; ends: where each ends
  int64_t length;

  WinnerLists(int64_t channels, int64_t windows)
      : values(channels * windows, 0), offsets(channels * windows, 0), ends(channels, 0), length(windows) {}
};

// The map of one image with the zeros around it that the convolution saw; one vector more behind it, so that the last run
// may be read in whole vectors.
struct PaddedMap {
  int64_t rows, columns, pitch;

  explicit PaddedMap(const WinnersConv& p)
      : rows((p.y.outputs - 1) * p.y.stride + p.y.kernel),
        columns((p.x.outputs - 1) * p.x.stride + p.x.kernel),
        pitch(round_up(columns * p.channels, 16)) {
    if (pitch % 512 == 0) pitch += 16;  // rows a page apart would push each other out of the cache
  }
  int64_t size() const { return rows * pitch + kWinnerLanes; }
};

// Calls f(place in the image, place in the padded map, bytes) for the rows that both have.
template <class F>
inline void each_row(const WinnersConv& p, const PaddedMap& map, const F& f) {
  const int64_t wide = map.columns - p.x.padding;
  const int64_t columns = wide < p.x.inputs ? wide : p.x.inputs;
  if (columns <= 0) return;
  for (int64_t y = 0; y < p.y.inputs && y + p.y.padding < map.rows; ++y)
    f(y * p.x.inputs * p.channels, (y + p.y.padding) * map.pitch + p.x.padding * p.channels,
      columns * p.channels * sizeof(float));
}

// Lists the winners of the rows of windows [begin, end) of an image.
void list_winners(const WinnersConv& p, const PaddedMap& map, int64_t image, int64_t begin, int64_t end,
                  WinnerLists& lists) {
  const WindowAxis &y = p.pooling.y, &x = p.pooling.x;
  const int64_t outputs = p.pooling.channels;
  float* const values = lists.values.get();
  int64_t *const offsets = lists.offsets.get(), *const ends = lists.ends.get();
  int64_t where[256];  // the patch that each switch points at, -1: none
  for (int64_t& w : where) w = -1;
  for (int64_t c = 0; c < outputs; ++c) ends[c] = c * lists.length;
  for (int64_t oy = begin; oy < end; ++oy)
    for (int64_t ox = 0; ox < x.outputs; ++ox) {
      for (int64_t ky = 0; ky < y.kernel; ++ky)
        for (int64_t kx = 0; kx < x.kernel; ++kx) {
          const int64_t py = y.start(oy) + ky, px = x.start(ox) + kx;
          const bool inside = py >= 0 && py < y.inputs && px >= 0 && px < x.inputs;
          where[ky * x.kernel + kx] = inside ? py * p.y.stride * map.pitch + px * p.x.stride * p.channels : -1;
        }
      const int64_t from = ((image * y.outputs + oy) * x.outputs + ox) * outputs;
      const float *const grad = p.grad + from, *const gate = p.gate + from;
      const uint8_t* const switches = p.switches + from;
      for (int64_t c = 0; c < outputs; ++c) {
        const int64_t at = where[switches[c]];
        if (at < 0 || grad[c] == 0.0f || gate[c] <= 0.0f) continue;  // NaN passes
        values[ends[c]] = grad[c];
        offsets[ends[c]++] = at;
      }
    }
}

// A channel's list.
struct Winners {
  const float* values;
  const int64_t* offsets;
  int64_t count;
};

inline float sum_of(const Winners& winners) {
  float sum = 0;
  for (int64_t i = 0; i < winners.count; ++i) sum += winners.values[i];
  return sum;
}

// Adds the patches of a channel's winners, each times its value, to its filter: R runs, V vectors of each.
template <int R, int V>
inline void add_patches(const Winners& winners, const float* map, int64_t map_pitch, float* filter, int64_t pitch) {
  FloatV held[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) held[r][v] = load_as<FloatV>(filter + r * pitch + v * kWinnerLanes);
  for (int64_t i = 0; i < winners.count; ++i) {
    const FloatV value = winners.values[i] - FloatV{};
    const float* const patch = map + winners.offsets[i];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) held[r][v] += value * load_as<FloatV>(patch + r * map_pitch + v * kWinnerLanes);
  }
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) Simd<float>::store(filter + r * pitch + v * kWinnerLanes, held[r][v]);
}

// Adds a channel's filter to the patches of its winners, each time times the winner's value. `last`: which lanes of the
// last vector there are: what is infinite beyond them must not reach the patch's neighbour.
template <int R, int V>
inline void add_filter(const Winners& winners, float* map, int64_t map_pitch, const float* filter, int64_t pitch, IntV last) {
  FloatV held[R][V];
  for (int r = 0; r < R; ++r)
    for (int v = 0; v < V; ++v) held[r][v] = load_as<FloatV>(filter + r * pitch + v * kWinnerLanes);
  // Every other one, then the rest: neighbours' patches overlap, and what was just stored is slow to load. In their order
  // ZFNet's conv2 and conv5 took a fifth and a third longer to go back through.
  for (int64_t n = 0; n < winners.count; ++n) {
    const int64_t i = 2 * n < winners.count ? 2 * n : 2 * (n - (winners.count + 1) / 2) + 1;
    const FloatV value = winners.values[i] - FloatV{};
    float* const patch = map + winners.offsets[i];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < V; ++v) {
        float* const at = patch + r * map_pitch + v * kWinnerLanes;
        FloatV product = value * held[r][v];
        if (v == V - 1) product = last != 0 ? product : FloatV{};
        Simd<float>::store(at, load_as<FloatV>(at) + product);
      }
  }
}

// Calls f(runs, vectors) with both as compile-time constants; several runs where they are short.
template <int V = kHeld, class F>
inline __attribute__((always_inline)) void with_piece(int64_t runs, int64_t vectors, const F& f) {
  if constexpr (V > 0) {
    if (vectors != V) return with_piece<V - 1>(runs, vectors, f);
    using Vectors = std::integral_constant<int, V>;
    if constexpr (V <= 3 && 7 * V <= kHeld)
      if (runs == 7) return f(std::integral_constant<int, 7>{}, Vectors{});
    if constexpr (V <= 3 && 5 * V <= kHeld)
      if (runs == 5) return f(std::integral_constant<int, 5>{}, Vectors{});
    if constexpr (V <= 3 && 3 * V <= kHeld)
      if (runs == 3) return f(std::integral_constant<int, 3>{}, Vectors{});
    f(std::integral_constant<int, 1>{}, Vectors{});
  }
}

// How many runs with so many vectors are held at once, of those that are left.
inline int64_t runs_held(int64_t left, int64_t vectors) {
  if (vectors <= 3)
    for (const int64_t runs : {7, 5, 3})
      if (runs <= left && runs * vectors <= kHeld) return runs;
  return 1;
}

// Images [begin, end), whose sums are the part's.
void winners_part(const WinnersConv& p, int64_t part, int64_t begin, int64_t end) {
  const PaddedMap map(p);
  const WindowAxis &y = p.pooling.y, &x = p.pooling.x;
  const int64_t outputs = p.pooling.channels, filter = p.y.kernel * p.pitch, run = p.x.kernel * p.channels;
  const int64_t together = x.outputs >= kListed ? 1 : kListed / x.outputs;
  const int64_t all = p.pitch / kWinnerLanes, pieces = (all + kHeld - 1) / kHeld, wide = (all + pieces - 1) / pieces;
  Scratch<float> padded(map.size(), 0), gradient(p.grad_input == nullptr ? 1 : map.size(), 0);
  WinnerLists lists(outputs, together * x.outputs);
  float* const sums = p.sums + part * outputs * filter;
  double* const bias_sums = p.bias + part * outputs;
  __builtin_memset(sums, 0, outputs * filter * sizeof(float));
  for (int64_t c = 0; c < outputs; ++c) bias_sums[c] = 0;
  const IntV every = IntV{} - 1;
  IntV ends{};
  for (int64_t i = 0; i < kWinnerLanes; ++i) ends[i] = (all - 1) * kWinnerLanes + i < run ? -1 : 0;

  const int64_t numbers = p.y.inputs * p.x.inputs * p.channels;
  for (int64_t image = begin; image < end; ++image) {
    each_row(p, map, [&](int64_t from, int64_t to, int64_t bytes) {
      __builtin_memcpy(padded.get() + to, p.input + image * numbers + from, bytes);
    });
    if (p.grad_input != nullptr) __builtin_memset(gradient.get(), 0, map.size() * sizeof(float));
    for (int64_t oy = 0; oy < y.outputs; oy += together) {
      list_winners(p, map, image, oy, oy + together < y.outputs ? oy + together : y.outputs, lists);
      const auto winners = [&](int64_t c) {
        const int64_t first = c * lists.length;
        return Winners{lists.values.get() + first, lists.offsets.get() + first, lists.ends.get()[c] - first};
      };
      for (int64_t c = 0; c < outputs; ++c) bias_sums[c] += sum_of(winners(c));
      for (int64_t v = 0; v < all; v += wide)
        for (int64_t ky = 0, runs; ky < p.y.kernel; ky += runs) {
          const int64_t vectors = all - v < wide ? all - v : wide;
          runs = runs_held(p.y.kernel - ky, vectors);
          const int64_t in_map = ky * map.pitch + v * kWinnerLanes, in_filter = ky * p.pitch + v * kWinnerLanes;
          const IntV last = v + vectors == all ? ends : every;
          with_piece(runs, vectors, [&](auto R, auto V) {
            constexpr int r = decltype(R)::value, n = decltype(V)::value;
            for (int64_t c = 0; c < outputs; ++c)
              add_patches<r, n>(winners(c), padded.get() + in_map, map.pitch, sums + c * filter + in_filter, p.pitch);
            if (p.grad_input == nullptr) return;
            for (int64_t c = 0; c < outputs; ++c)
              add_filter<r, n>(winners(c), gradient.get() + in_map, map.pitch, p.filters + c * filter + in_filter, p.pitch,
                               last);
          });
        }
    }
    if (p.grad_input == nullptr) continue;
    float* const to_image = p.grad_input + image * numbers;
    __builtin_memset(to_image, 0, numbers * sizeof(float));  // what no window of the convolution reads has no gradient
    each_row(p, map, [&](int64_t to, int64_t from, int64_t bytes) {
      __builtin_memcpy(to_image + to, gradient.get() + from, bytes);
    });
  }
}

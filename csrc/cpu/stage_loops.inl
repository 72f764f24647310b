// The fused stage ReLU -> pooling -> local response normalisation for one instruction set.
// No include guard: see foreach_isa.inl.
#include "cpu/simd.inl"
#include "lrn.inl"
#include "pooling.inl"
#include "cpu/pool_rows.inl"
#include "cpu/lrn_rows.inl"

// Pixels done together, so that the winners are long stored when they are read at other alignments.
constexpr int64_t kTogether = 8;

// Keeps the winners for the normalisation, and writes the switches and, where asked, the winners.
template <class T>
struct StageSink {
  using N = typename Simd<T>::Number;
  Blocks<T> blocks;
  N* winners;
  uint8_t* switches;
  T* pooled;
  void operator()(int64_t i, typename Simd<T>::Value best, typename Simd<T>::Index at) const {
    Blocks<N>{blocks.n}.store(winners + i, best);
    blocks.store_at(switches + i, at);
    if (pooled != nullptr) blocks.store(pooled + i, best);
  }
};

// Normalises one vector of winners, whose channels lie `step` apart, zeros where there is no channel. SIZE: norm.size,
// 0: any.
template <Exponent E, int SIZE, class N>
inline typename Simd<N>::Value normed(const N* winners, const Norm& norm, int64_t step) {
  const N* around = winners - norm.before * step;
  const auto sum = sum_of_squares(around, SIZE ? SIZE : norm.size, step);
  return lrn_forward<E>(Simd<N>::load(winners), sum, N(norm.scale), N(norm.k), norm.beta);
}

// One row of winners.
template <Exponent E, class T>
inline void normed_row(const typename Simd<T>::Number* winners, const Norm& norm_, int64_t step,
                       const Blocks<T>& blocks, T* output) {
  const Norm norm = norm_;
  if (norm.size == 5 && blocks.whole()) {  // what networks use
    const int64_t n = blocks.n;
    int64_t q = 0;
    for (; q + blocks.lanes <= n; q += blocks.lanes) Simd<T>::store(output + q, normed<E, 5>(winners + q, norm, step));
    q = n - blocks.lanes;
    Simd<T>::store(output + q, normed<E, 5>(winners + q, norm, step));
    return;
  }
  for (int64_t b = 0; b < blocks.count(); ++b)
    blocks.store(output + blocks.start(b), normed<E, 0>(winners + blocks.start(b), norm, step));
}

// channels_last: pixels [begin, end) of all the N * Ho * Wo output pixels.
template <Exponent E, class T>
void stage_nhwc(const T* input, const Pooling& p, const Norm& norm, T* output, uint8_t* switches, T* pooled,
                int64_t begin, int64_t end) {
  using N = typename Simd<T>::Number;
  const int64_t area = p.y.outputs * p.x.outputs, image = p.y.inputs * p.x.inputs * p.channels;
  const int64_t length = round_up(p.channels + norm.size, 64) + 64;
  Scratch<N> memory(kTogether * length, N{});
  N* winners = memory.get() + norm.before;
  const Blocks<T> blocks{p.channels};
  int64_t at = begin / area, oy = begin % area / p.x.outputs, ox = begin % p.x.outputs;  // the pixel
  for (int64_t i = begin; i < end; i += kTogether) {
    const int64_t pixels = end - i < kTogether ? end - i : kTogether;
    for (int64_t g = 0; g < pixels; ++g) {
      const int64_t to = (i + g) * p.channels;
      pool_pixel(input + at * image, p, oy, ox, true,
                 StageSink<T>{blocks, winners + g * length, switches + to, pooled == nullptr ? nullptr : pooled + to});
      if (++ox == p.x.outputs) {
        ox = 0;
        if (++oy == p.y.outputs) oy = 0, ++at;
      }
    }
    for (int64_t g = 0; g < pixels; ++g)
      normed_row<E>(winners + g * length, norm, 1, blocks, output + (i + g) * p.channels);
  }
}

// Asks for the input rows that the windows of output row `oy` read and those above it do not: another channel's rows
// are no continuation that the processor would expect.
template <class T>
inline void prefetch_rows(const T* image, const Pooling& p, int64_t oy) {
  const int64_t y = p.y.start(oy) + p.y.first_offset(oy), end = p.y.start(oy) + p.y.last_offset(oy);
  const int64_t begin = y > end - p.y.stride ? y : end - p.y.stride;
  const char* last = reinterpret_cast<const char*>(image + end * p.x.inputs);
  for (const char* at = reinterpret_cast<const char*>(image + begin * p.x.inputs); at < last; at += 64)
    __builtin_prefetch(at);
}

// Output rows of one image that the NCHW stage does together: neighbouring rows share input rows.
constexpr int64_t kRows = 8;

// NCHW: groups of rows [begin, end) of all the N * ceil(Ho / kRows) groups, all channels each.
template <Exponent E, class T>
void stage_nchw(const T* input, const Pooling& p, const Norm& norm, T* output, uint8_t* switches, T* pooled,
                int64_t begin, int64_t end) {
  using N = typename Simd<T>::Number;
  const int64_t wo = p.x.outputs, length = round_up(wo, Simd<T>::lanes), plane = kRows * length;
  const int64_t groups = (p.y.outputs + kRows - 1) / kRows;
  PhaseRows<T> rows(p);
  Scratch<N> memory((p.channels + norm.size) * plane, N{});
  N* winners = memory.get() + norm.before * plane;
  const Blocks<T> blocks{wo};
  for (int64_t i = begin; i < end; ++i) {
    const int64_t image = i / groups, oy = i % groups * kRows;
    const int64_t count = p.y.outputs - oy < kRows ? p.y.outputs - oy : kRows;
    // Each channel is normalised as soon as its neighbours are pooled, while they are in the L1 cache.
    for (int64_t c = 0; c < p.channels + norm.after; ++c) {
      if (c < p.channels) {
        const int64_t at = image * p.channels + c;
        rows.start(input + at * p.y.inputs * p.x.inputs);
        for (int64_t r = 0; r < count; ++r) {
          if (c + 1 < p.channels) prefetch_rows(input + (at + 1) * p.y.inputs * p.x.inputs, p, oy + r);
          const int64_t to = (at * p.y.outputs + oy + r) * wo;
          pool_row(rows, p, oy + r, true,
                   StageSink<T>{blocks, winners + c * plane + r * length, switches + to,
                                pooled == nullptr ? nullptr : pooled + to});
        }
      }
      const int64_t done = c - norm.after;
      for (int64_t r = 0; done >= 0 && r < count; ++r) {
        const int64_t to = ((image * p.channels + done) * p.y.outputs + oy + r) * wo;
        normed_row<E>(winners + done * plane + r * length, norm, plane, blocks, output + to);
      }
    }
  }
}

// ---------------------------------------------------------------- one entry for all exponents

template <class T>
void stage_run(const T* input, const Pooling& p, const Norm& norm, bool channels_last, T* output, uint8_t* switches,
               T* pooled, int64_t begin, int64_t end) {
  ZFCUDA_WITH_EXPONENT(norm.beta, {
    if (channels_last)
      stage_nhwc<E>(input, p, norm, output, switches, pooled, begin, end);
    else
      stage_nchw<E>(input, p, norm, output, switches, pooled, begin, end);
  })
}

// How many pieces of work the NCHW loop makes of one image.
inline int64_t stage_groups(int64_t rows) { return (rows + kRows - 1) / kRows; }

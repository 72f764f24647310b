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

// Normalises one vector of winners. around(j): neighbour j of norm.size, zeros where there is no channel. SIZE:
// norm.size, 0: any.
template <Exponent E, int SIZE, class N, class Around>
inline typename Simd<N>::Value normed(const Around& around, const Norm& norm) {
  typename Simd<N>::Value sum{};
#pragma GCC unroll 5
  for (int64_t j = 0; j < (SIZE ? SIZE : norm.size); ++j) {
    const auto v = Simd<N>::load(around(j));
    sum += v * v;
  }
  return lrn_forward<E>(Simd<N>::load(around(norm.before)), sum, N(norm.scale), N(norm.k), norm.beta);
}

// One row of winners. at(q, j): neighbour j of element q.
template <Exponent E, class T, class At>
inline void normed_row(const At& at, const Norm& norm_, const Blocks<T>& blocks, T* output) {
  using N = typename Simd<T>::Number;
  const Norm norm = norm_;
  if (norm.size == 5 && blocks.whole()) {  // what networks use
    const auto block = [&](int64_t q) __attribute__((always_inline)) {
      Simd<T>::store(output + q, normed<E, 5, N>([&](int64_t j) { return at(q, j); }, norm));
    };
    const int64_t n = blocks.n;
    for (int64_t q = 0; q + blocks.lanes <= n; q += blocks.lanes) block(q);
    return block(n - blocks.lanes);
  }
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t q = blocks.start(b);
    blocks.store(output + q, normed<E, 0, N>([&](int64_t j) { return at(q, j); }, norm));
  }
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
      normed_row<E>([first = memory.get() + g * length](int64_t q, int64_t j) { return first + q + j; }, norm, blocks,
                    output + (i + g) * p.channels);
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

// The pooled planes of the channels that one channel's normalisation reads, each channel in the place of the one that
// is `size` channels before it: working memory that the L1 or L2 cache holds however many channels there are.
template <class N>
class Neighbours {
 public:
  Neighbours(int64_t size, int64_t plane) : size_(size), plane_(plane), memory_(size * plane, N{}) {}

  // Before the first channel: there is none before it.
  void start() {
    newest_ = 0;
    for (int64_t i = 0; i < size_ * plane_; ++i) memory_.get()[i] = N{};
  }

  // Room for the next channel.
  N* next() {
    newest_ = newest_ + 1 == size_ ? 0 : newest_ + 1;
    return memory_.get() + newest_ * plane_;
  }

  // Behind the last channel there is none.
  void none() {
    N* plane = next();
    for (int64_t i = 0; i < plane_; ++i) plane[i] = N{};
  }

  // Neighbour j of the channel that is normalised now, from the first.
  const N* operator[](int64_t j) const {
    const int64_t slot = newest_ + 1 + j;
    return memory_.get() + (slot < size_ ? slot : slot - size_) * plane_;
  }

 private:
  int64_t size_, plane_, newest_ = 0;
  Scratch<N> memory_;
};

// How many output rows of one image the NCHW stage does together. Many: neighbouring rows share input rows, and a
// channel's rows are read in one go; as few as give each thread some pieces, and as the caches hold of all neighbours.
inline int64_t stage_rows(const Pooling& p, const Norm& norm, int64_t threads) {
  constexpr int64_t least = 8, pieces = 4, held = 32768;  // rows, pieces of a thread, numbers
  const int64_t most = held / (norm.size * round_up(p.x.outputs, 16)), shared = p.batch * p.y.outputs / (pieces * threads);
  const int64_t rows = shared < most ? shared : most;
  return rows < least ? least : rows < p.y.outputs ? rows : p.y.outputs;
}

// NCHW: groups of `together` rows [begin, end) of all the N * ceil(Ho / together) groups, all channels each.
template <Exponent E, class T>
void stage_nchw(const T* input, const Pooling& p, const Norm& norm, int64_t together, T* output, uint8_t* switches,
                T* pooled, int64_t begin, int64_t end) {
  using N = typename Simd<T>::Number;
  const int64_t wo = p.x.outputs, length = round_up(wo, Simd<T>::lanes);
  const int64_t groups = (p.y.outputs + together - 1) / together;
  PhaseRows<T> rows(p);
  Neighbours<N> neighbours(norm.size, together * length);
  Scratch<const N*> around(norm.size, nullptr);
  const Blocks<T> blocks{wo};
  for (int64_t i = begin; i < end; ++i) {
    const int64_t image = i / groups, oy = i % groups * together;
    const int64_t count = p.y.outputs - oy < together ? p.y.outputs - oy : together;
    neighbours.start();
    // Each channel is normalised as soon as its neighbours are pooled.
    for (int64_t c = 0; c < p.channels + norm.after; ++c) {
      if (c < p.channels) {
        const int64_t at = image * p.channels + c;
        N* winners = neighbours.next();
        rows.start(input + at * p.y.inputs * p.x.inputs);
        for (int64_t r = 0; r < count; ++r) {
          if (c + 1 < p.channels && count < p.y.outputs)
            prefetch_rows(input + (at + 1) * p.y.inputs * p.x.inputs, p, oy + r);
          const int64_t to = (at * p.y.outputs + oy + r) * wo;
          pool_row(rows, p, oy + r, true,
                   StageSink<T>{blocks, winners + r * length, switches + to, pooled == nullptr ? nullptr : pooled + to});
        }
      } else {
        neighbours.none();
      }
      const int64_t done = c - norm.after;
      if (done < 0) continue;
      for (int64_t j = 0; j < norm.size; ++j) around.get()[j] = neighbours[j];
      T* row = output + ((image * p.channels + done) * p.y.outputs + oy) * wo;
      for (int64_t r = 0; r < count; ++r)
        normed_row<E>([first = around.get(), r, length](int64_t q, int64_t j) { return first[j] + r * length + q; }, norm,
                      blocks, row + r * wo);
    }
  }
}

// ---------------------------------------------------------------- one entry for all exponents

template <class T>
void stage_run(const T* input, const Pooling& p, const Norm& norm, bool channels_last, int64_t together, T* output,
               uint8_t* switches, T* pooled, int64_t begin, int64_t end) {
  ZFCUDA_WITH_EXPONENT(norm.beta, {
    if (channels_last)
      stage_nhwc<E>(input, p, norm, output, switches, pooled, begin, end);
    else
      stage_nchw<E>(input, p, norm, together, output, switches, pooled, begin, end);
  })
}

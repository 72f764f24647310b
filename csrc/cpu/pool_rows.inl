// Max pooling of one row (NCHW) or one pixel (channels_last), for whoever wants the winners: pooling itself and the
// fused stage. No include guard: see foreach_isa.inl. A `Sink` takes (first element, winners, their offsets).

template <class T>
inline typename Simd<T>::Value pool_start(bool relu) {
  return typename Simd<T>::Value{} +
         (relu ? 0 : -std::numeric_limits<typename Simd<T>::Number>::infinity());
}

// The rows of one image [H,W], each split by column phase (x + padding) % stride, so that one offset of the windows of
// neighbouring outputs lies in neighbouring memory whatever the stride. Keeps the rows of one row of windows and of the
// next.
template <class T>
class PhaseRows {
  static constexpr int64_t kAhead = 1536;  // bytes that are asked for before they are split

  using S = Simd<T>;
  using N = typename S::Number;

 public:
  explicit PhaseRows(const Pooling& p)
      : x_(p.x),
        y_(p.y),
        slots_(power_of_two(p.y.kernel + p.y.stride)),
        // Not a power of two: a load is held up by a store at the same place within another 4 KB.
        length_(round_up((p.x.inputs + 2 * p.x.padding) / p.x.stride + p.x.kernel, 64) + 80),
        // Padding never wins: it is -infinity, and only more than the best so far wins.
        rows_(slots_ * x_.stride * length_, -std::numeric_limits<N>::infinity()),
        sums_(slots_ * S::lanes, N{}),
        held_(slots_, -1),
        offset_(x_.kernel, 0),
        first_(round_up(x_.outputs, 64), 0) {
    for (int64_t k = 0; k < x_.kernel; ++k) offset_.get()[k] = k % x_.stride * length_ + k / x_.stride;
    for (int64_t o = 0; o < x_.outputs; ++o) first_.get()[o] = x_.first_offset(o);
  }

  void start(const T* image) {
    image_ = image;
    for (int64_t i = 0; i < slots_; ++i) held_.get()[i] = -1;
  }

  const N* row(int64_t y) {
    const int64_t slot = y & (slots_ - 1);
    N* phases = rows_.get() + slot * x_.stride * length_;
    if (held_.get()[slot] != y) {
      held_.get()[slot] = y;
      Simd<N>::store(sums_.get() + slot * S::lanes, split(image_ + y * x_.inputs, phases));
    }
    return phases;
  }

  // Splits the rows of the windows of output row `oy`, so that they are long stored when they are read: a load that
  // crosses two stores on their way to the cache waits for both.
  void prepare(int64_t oy) {
    if (oy >= y_.outputs) return;
    for (int64_t ky = y_.first_offset(oy); ky < y_.last_offset(oy); ++ky) row(y_.start(oy) + ky);
  }

  // NaN where an element of a row is. Else a number, or by infinities NaN after all: testing once costs less than
  // testing each element.
  typename S::Value sum(int64_t y) const { return Simd<N>::load(sums_.get() + (y & (slots_ - 1)) * S::lanes); }

  // Where offset k of output 0 lies in a row.
  int64_t offset(int64_t k) const { return offset_.get()[k]; }

  // For each output the first offset inside the image.
  const std::remove_reference_t<decltype(typename S::Index{}[0])>* first() const { return first_.get(); }

 private:
  // The vector at x, with -infinity (which never wins) beyond the row.
  typename S::Value load(const T* row, int64_t x) const {
    const int64_t left = x_.inputs - x;
    if (left >= S::lanes) return S::load(row + x);
    T all[S::lanes];
    for (T& v : all) v = -std::numeric_limits<N>::infinity();
    if (left > 0) __builtin_memcpy(all, row + x, left * sizeof(T));
    return S::load(all);
  }

  // Returns the row's sum, one of each lane.
  typename S::Value split(const T* row, N* phases) {
    const int64_t s = x_.stride, p = x_.padding, n = x_.inputs;
    typename S::Value sum{}, more{};
    if (s == 1) {
      for (int64_t x = 0; x < n; x += S::lanes) {
        const auto v = load(row, x);
        Simd<N>::store(phases + p + x, v);
        sum += v;
      }
    } else if (s == 2) {
      N *even = phases + p % 2 * length_ + p / 2, *odd = phases + (p + 1) % 2 * length_ + (p + 1) / 2;
      const auto pairs = [&](int64_t x, typename S::Value low, typename S::Value high) {
        sum += low;
        more += high;
        deinterleave<typename S::Value, typename S::Index>(low, high);
        Simd<N>::store(even + x / 2, low);
        Simd<N>::store(odd + x / 2, high);
      };
      if (n < 2 * S::lanes) {
        pairs(0, load(row, 0), load(row, S::lanes));
      } else {
        // The last vectors overlap those before them; of an odd number the last one remains.
        const int64_t last = (n - 2 * S::lanes) / 2 * 2;
        for (int64_t x = 0; x < last; x += 2 * S::lanes) {
          // The processor's own prefetching stops at the end of each page of 4 KB.
          __builtin_prefetch(reinterpret_cast<const char*>(row + x) + kAhead);
          pairs(x, S::load(row + x), S::load(row + x + S::lanes));
        }
        pairs(last, S::load(row + last), S::load(row + last + S::lanes));
        if (n % 2 == 1) {
          const N left = static_cast<N>(row[n - 1]);
          even[n / 2] = left;
          sum += left;
        }
      }
    } else {
      for (int64_t x = 0; x < n; ++x) {
        const N v = static_cast<N>(row[x]);
        phases[(x + p) % s * length_ + (x + p) / s] = v;
        sum += v;
      }
    }
    return sum + more;
  }

  WindowAxis x_, y_;
  int64_t slots_, length_;
  Scratch<N> rows_, sums_;
  Scratch<int64_t> held_, offset_;
  Scratch<std::remove_reference_t<decltype(typename S::Index{}[0])>> first_;
  const T* image_ = nullptr;
};

// The windows of one row of outputs of one image: rows [first, last) of them lie inside it.
template <class T, class Sink>
inline void pool_blocks(const PhaseRows<T>& rows, const typename Simd<T>::Number* const* row, const Pooling& p,
                        int64_t first, int64_t last, bool relu, const Sink& sink) {
  using S = Simd<T>;
  const Blocks<T> blocks{p.x.outputs};
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t ox = blocks.start(b);
    auto best = pool_start<T>(relu);
    auto at = load_as<typename S::Index>(rows.first() + ox) + splat<T>(first * p.x.kernel);
    for (int64_t ky = first; ky < last; ++ky)
      for (int64_t kx = 0; kx < p.x.kernel; ++kx)
        pool_take(Simd<typename S::Number>::load(row[ky] + rows.offset(kx) + ox), splat<T>(ky * p.x.kernel + kx), best,
                  at);
    sink(ox, best, at);
  }
}

// The same of K x K windows with all their rows, none of which has a NaN. Nothing is read through a pointer here that a
// switch, which is a byte and may be anything to the compiler, could have changed.
template <int K, class T, class Sink>
inline void pool_numbers(const PhaseRows<T>& rows, const typename Simd<T>::Number* const* row, int64_t outputs,
                         bool relu, const Sink& sink_) {
  using S = Simd<T>;
  using N = typename S::Number;
  Sink sink = sink_;
  const auto* firsts = rows.first();
  const N* from[K][K];
  for (int ky = 0; ky < K; ++ky)
    for (int kx = 0; kx < K; ++kx) from[ky][kx] = row[ky] + rows.offset(kx);
  const auto start = pool_start<T>(relu);
  const auto block = [&](int64_t ox) __attribute__((always_inline)) {
    auto best = start;
    auto at = load_as<typename S::Index>(firsts + ox);
#pragma GCC unroll 3
    for (int ky = 0; ky < K; ++ky)
#pragma GCC unroll 3
      for (int kx = 0; kx < K; ++kx)
        pool_take_number(Simd<N>::load(from[ky][kx] + ox), splat<T>(ky * K + kx), best, at);
    sink(ox, best, at);
  };
  if (outputs < S::lanes) return block(0);
  sink.blocks.n = S::lanes;  // all blocks are whole
  int64_t ox = 0;
  for (; ox + S::lanes <= outputs; ox += S::lanes) block(ox);
  if (ox < outputs) block(outputs - S::lanes);
}

// One row of outputs of one image.
template <class T, class Sink>
inline void pool_row(PhaseRows<T>& rows, const Pooling& p, int64_t oy, bool relu, const Sink& sink) {
  const int64_t first = p.y.first_offset(oy), last = p.y.last_offset(oy);
  const typename Simd<T>::Number* row[256];
  typename Simd<T>::Value sum{};
  for (int64_t ky = first; ky < last; ++ky) {
    row[ky] = rows.row(p.y.start(oy) + ky);
    sum += rows.sum(p.y.start(oy) + ky);
  }
  rows.prepare(oy + 1);
  const bool inside = first == 0 && last == p.y.kernel && p.y.kernel == p.x.kernel && !any_nan(sum);
  if (inside && last == 3)
    pool_numbers<3>(rows, row, p.x.outputs, relu, sink);
  else if (inside && last == 2)
    pool_numbers<2>(rows, row, p.x.outputs, relu, sink);
  else
    pool_blocks(rows, row, p, first, last, relu, sink);
}

// A block of channels of one output pixel whose K x K window lies inside the image.
template <int K, class T>
inline void pool_inside(const T* corner, int64_t line, int64_t channels, bool relu, typename Simd<T>::Value& best,
                        typename Simd<T>::Index& at) {
  typename Simd<T>::Value sum{};
  best = pool_start<T>(relu);
  at = splat<T>(0);
#pragma GCC unroll 3
  for (int ky = 0; ky < K; ++ky)
#pragma GCC unroll 3
    for (int kx = 0; kx < K; ++kx) {
      const auto value = Simd<T>::load(corner + ky * line + kx * channels);
      sum += value;
      pool_take_number(value, splat<T>(ky * K + kx), best, at);
    }
  if (!any_nan(sum)) return;
  best = pool_start<T>(relu);
  at = splat<T>(0);
  for (int ky = 0; ky < K; ++ky)
    for (int kx = 0; kx < K; ++kx)
      pool_take(Simd<T>::load(corner + ky * line + kx * channels), splat<T>(ky * K + kx), best, at);
}

template <int K, class T, class Sink>
inline void pool_pixel_inside(const T* corner, const Pooling& p, bool relu, const Sink& sink_) {
  constexpr int64_t lanes = Simd<T>::lanes;
  Sink sink = sink_;
  sink.blocks.n = lanes;  // all blocks are whole
  const int64_t channels = p.channels, line = p.x.inputs * channels;
  const auto block = [&](int64_t c) __attribute__((always_inline)) {
    typename Simd<T>::Value best;
    typename Simd<T>::Index at;
    pool_inside<K>(corner + c, line, channels, relu, best, at);
    sink(c, best, at);
  };
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) block(c);
  if (c < channels) block(channels - lanes);
}

// One output pixel (oy, ox) of one image [H,W,C]: all its channels.
template <class T, class Sink>
inline void pool_pixel(const T* image, const Pooling& p, int64_t oy, int64_t ox, bool relu, const Sink& sink) {
  const int64_t channels = p.channels, kw = p.x.kernel;
  const int64_t y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy);
  const int64_t x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
  const int64_t line = p.x.inputs * channels;
  const T* corner = image + p.y.start(oy) * line + p.x.start(ox) * channels;
  const Blocks<T> blocks{channels};
  if (blocks.whole() && y0 == 0 && x0 == 0 && y1 == x1 && y1 == kw && y1 == p.y.kernel) {
    if (kw == 3) return pool_pixel_inside<3>(corner, p, relu, sink);
    if (kw == 2) return pool_pixel_inside<2>(corner, p, relu, sink);
  }
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t c = blocks.start(b);
    auto best = pool_start<T>(relu);
    auto at = splat<T>(y0 * kw + x0);
    for (int64_t ky = y0; ky < y1; ++ky)
      for (int64_t kx = x0; kx < x1; ++kx)
        pool_take(blocks.load(corner + ky * line + kx * channels + c), splat<T>(ky * kw + kx), best, at);
    sink(c, best, at);
  }
}

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
  using S = Simd<T>;
  using N = typename S::Number;

 public:
  explicit PhaseRows(const Pooling& p)
      : x_(p.x),
        y_(p.y),
        slots_(power_of_two(p.y.kernel + p.y.stride)),
        length_(round_up((p.x.inputs + 2 * p.x.padding) / p.x.stride + p.x.kernel, 64) + 64),
        // Padding never wins: it is -infinity, and only more than the best so far wins.
        rows_(slots_ * x_.stride * length_, -std::numeric_limits<N>::infinity()),
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
      split(image_ + y * x_.inputs, phases);
    }
    return phases;
  }

  // Splits the rows of the windows of output row `oy`, so that they are long stored when they are read: a load that
  // crosses two stores on their way to the cache waits for both.
  void prepare(int64_t oy) {
    if (oy >= y_.outputs) return;
    for (int64_t ky = y_.first_offset(oy); ky < y_.last_offset(oy); ++ky) row(y_.start(oy) + ky);
  }

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

  void split(const T* row, N* phases) {
    const int64_t s = x_.stride, p = x_.padding;
    if (s == 1) {
      for (int64_t x = 0; x < x_.inputs; x += S::lanes) Simd<N>::store(phases + p + x, load(row, x));
    } else if (s == 2) {
      N *even = phases + p % 2 * length_ + p / 2, *odd = phases + (p + 1) % 2 * length_ + (p + 1) / 2;
      for (int64_t x = 0; x < x_.inputs; x += 2 * S::lanes) {
        typename S::Value low = load(row, x), high = load(row, x + S::lanes);
        deinterleave<typename S::Value, typename S::Index>(low, high);
        Simd<N>::store(even + x / 2, low);
        Simd<N>::store(odd + x / 2, high);
      }
    } else {
      for (int64_t x = 0; x < x_.inputs; ++x) phases[(x + p) % s * length_ + (x + p) / s] = static_cast<N>(row[x]);
    }
  }

  WindowAxis x_, y_;
  int64_t slots_, length_;
  Scratch<N> rows_;
  Scratch<int64_t> held_, offset_;
  Scratch<std::remove_reference_t<decltype(typename S::Index{}[0])>> first_;
  const T* image_ = nullptr;
};

// One row of outputs of one image. KW is the width of the window, 0: any.
template <int KW, class T, class Sink>
inline void pool_row_of(PhaseRows<T>& rows, const Pooling& p, int64_t oy, bool relu, const Sink& sink) {
  using S = Simd<T>;
  using N = typename S::Number;
  const int64_t kw = KW ? KW : p.x.kernel;
  const int64_t first = p.y.first_offset(oy), last = p.y.last_offset(oy);
  const N* row[256];
  for (int64_t ky = first; ky < last; ++ky) row[ky] = rows.row(p.y.start(oy) + ky);
  rows.prepare(oy + 1);
  const Blocks<T> blocks{p.x.outputs};
  for (int64_t b = 0; b < blocks.count(); ++b) {
    const int64_t ox = blocks.start(b);
    auto best = pool_start<T>(relu);
    auto at = load_as<typename S::Index>(rows.first() + ox) + splat<T>(first * kw);
    for (int64_t ky = first; ky < last; ++ky)
      for (int64_t kx = 0; kx < kw; ++kx)
        pool_take(Simd<N>::load(row[ky] + rows.offset(kx) + ox), splat<T>(ky * kw + kx), best, at);
    sink(ox, best, at);
  }
}

template <class T, class Sink>
inline void pool_row(PhaseRows<T>& rows, const Pooling& p, int64_t oy, bool relu, const Sink& sink) {
  switch (p.x.kernel) {
    case 2: return pool_row_of<2>(rows, p, oy, relu, sink);
    case 3: return pool_row_of<3>(rows, p, oy, relu, sink);
    default: return pool_row_of<0>(rows, p, oy, relu, sink);
  }
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

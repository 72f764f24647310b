// Max pooling of one row (NCHW) or one pixel (channels_last), for whoever wants the winners: pooling itself and the fused
// stage. No include guard: see foreach_isa.h. A `Sink` takes (first element, winners, their offsets).

template <class T>
inline typename Simd<T>::Index splat(int64_t v) {
  return typename Simd<T>::Index{} + static_cast<std::remove_reference_t<decltype(typename Simd<T>::Index{}[0])>>(v);
}

template <class T>
inline typename Simd<T>::Value pool_start(bool relu) {
  return typename Simd<T>::Value{} +
         (relu ? 0 : -std::numeric_limits<typename Simd<T>::Number>::infinity());
}

// The rows of one picture [H,W], each split by column phase (x + padding) % stride, so that one offset of the windows of
// neighbouring outputs lies in neighbouring memory whatever the stride. Keeps the last kernel_size rows.
template <class T>
class PhaseRows {
  using S = Simd<T>;
  using N = typename S::Number;

 public:
  explicit PhaseRows(const Pooling& p)
      : x_(p.x),
        slots_(p.y.kernel),
        length_(round_up(p.x.outputs + (p.x.kernel - 1) / p.x.stride, 64) + 64),
        // Padding never wins: it is -infinity, and only more than the best so far wins.
        rows_(slots_ * x_.stride * length_, -std::numeric_limits<N>::infinity()),
        plain_(round_up(x_.inputs, 64), N{}),
        held_(slots_, -1),
        offset_(x_.kernel, 0),
        first_(round_up(x_.outputs, 64), 0) {
    for (int64_t k = 0; k < x_.kernel; ++k) offset_.get()[k] = k % x_.stride * length_ + k / x_.stride;
    for (int64_t o = 0; o < x_.outputs; ++o) first_.get()[o] = x_.first_offset(o);
  }

  void start(const T* picture) {
    picture_ = picture;
    for (int64_t i = 0; i < slots_; ++i) held_.get()[i] = -1;
  }

  const N* row(int64_t y) {
    const int64_t slot = y % slots_;
    N* phases = rows_.get() + slot * x_.stride * length_;
    if (held_.get()[slot] != y) {
      held_.get()[slot] = y;
      split(picture_ + y * x_.inputs, phases);
    }
    return phases;
  }

  // Where offset k of output 0 lies in a row.
  int64_t offset(int64_t k) const { return offset_.get()[k]; }

  // For each output the first offset inside the picture.
  const std::remove_reference_t<decltype(typename S::Index{}[0])>* first() const { return first_.get(); }

 private:
  const N* widen(const T* row) {
    if constexpr (std::is_same_v<T, N>) {
      return row;
    } else {
      const Blocks<T> blocks{x_.inputs};
      for (int64_t b = 0; b < blocks.count(); ++b)
        Simd<N>::store(plain_.get() + blocks.start(b), blocks.load(row + blocks.start(b)));
      return plain_.get();
    }
  }

  void split(const T* row, N* phases) {
    const N* source = widen(row);
    const int64_t s = x_.stride;
    for (int64_t phase = 0; phase < s; ++phase) {
      const int64_t from = ((phase - x_.padding) % s + s) % s;
      N* to = phases + phase * length_ + (from + x_.padding) / s;
      if (s == 2) {
        for (int64_t i = 0; i < (x_.inputs - from + 1) / 2; ++i) to[i] = source[from + 2 * i];
      } else {
        for (int64_t x = from; x < x_.inputs; x += s) *to++ = source[x];
      }
    }
  }

  Axis x_;
  int64_t slots_, length_;
  Scratch<N> rows_, plain_;
  Scratch<int64_t> held_, offset_;
  Scratch<std::remove_reference_t<decltype(typename S::Index{}[0])>> first_;
  const T* picture_ = nullptr;
};

// One row of outputs of one picture. KW is the width of the window, 0: any.
template <int KW, class T, class Sink>
inline void pool_row_of(PhaseRows<T>& rows, const Pooling& p, int64_t oy, bool relu, const Sink& sink) {
  using S = Simd<T>;
  using N = typename S::Number;
  const int64_t kw = KW ? KW : p.x.kernel;
  const int64_t first = p.y.first_offset(oy), last = p.y.last_offset(oy);
  const N* row[256];
  for (int64_t ky = first; ky < last; ++ky) row[ky] = rows.row(p.y.start(oy) + ky);
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

// One output pixel (oy, ox) of one picture [H,W,C]: all its channels.
template <class T, class Sink>
inline void pool_pixel(const T* picture, const Pooling& p, int64_t oy, int64_t ox, bool relu, const Sink& sink) {
  const int64_t channels = p.channels, kw = p.x.kernel;
  const int64_t y0 = p.y.first_offset(oy), y1 = p.y.last_offset(oy);
  const int64_t x0 = p.x.first_offset(ox), x1 = p.x.last_offset(ox);
  const int64_t line = p.x.inputs * channels;
  const T* corner = picture + p.y.start(oy) * line + p.x.start(ox) * channels;
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

// Unpooling by switches for one instruction set. No include guard: see foreach_isa.inl.
#include "cpu/simd.inl"
#include "pooling.inl"
#include "cpu/lines.inl"

// The rows of one pooled image [Ho,Wo], with zeros at both ends, so that windows that do not exist add nothing.
template <class T>
class PaddedRows {
  using S = Simd<T>;
  using N = typename S::Number;

 public:
  PaddedRows(const Pooling& p, int64_t margin, int64_t columns)
      : outputs_(p.x.outputs),
        margin_(margin),
        slots_(power_of_two((p.y.kernel - 1) / p.y.stride + 1)),
        length_(round_up(margin + (columns > outputs_ ? columns : outputs_), 64) + 64),
        values_(slots_ * length_, N{}),
        switches_(slots_ * length_, 0),
        held_(slots_, -1) {}

  void start(const T* values, const uint8_t* switches, const T* gate) {
    source_ = values;
    source_switches_ = switches;
    gate_ = gate;
    for (int64_t i = 0; i < slots_; ++i) held_.get()[i] = -1;
  }

  void row(int64_t y, const N*& values, const uint8_t*& switches) {
    const int64_t slot = y & (slots_ - 1);
    N* v = values_.get() + slot * length_ + margin_;
    uint8_t* s = switches_.get() + slot * length_ + margin_;
    if (held_.get()[slot] != y) {
      held_.get()[slot] = y;
      const Blocks<T> blocks{outputs_};
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t x = blocks.start(b), i = y * outputs_ + x;
        auto value = blocks.load(source_ + i);
        if (gate_ != nullptr) value = gated(value, blocks.load(gate_ + i));
        Blocks<N>{outputs_}.store(v + x, value);
      }
      __builtin_memcpy(s, source_switches_ + y * outputs_, outputs_);
    }
    values = v;
    switches = s;
  }

 private:
  int64_t outputs_, margin_, slots_, length_;
  Scratch<N> values_;
  Scratch<uint8_t> switches_;
  Scratch<int64_t> held_;
  const T* source_ = nullptr;
  const T* gate_ = nullptr;
  const uint8_t* source_switches_ = nullptr;
};

// The outputs x = residue, residue + stride, ... of a row: output i of them is in windows i + first - j, at offsets
// phase + j * stride, for j = 0 ... windows - 1.
struct Residue {
  int64_t phase, first, windows;

  Residue(const WindowAxis& x, int64_t residue)
      : Residue(x.kernel, x.stride, residue + x.padding) {}

 private:
  // Dividing by what may be anything takes as long as a tenth of a row: by 2 it does not.
  Residue(int64_t kernel, int64_t stride, int64_t at)
      : phase(stride == 2 ? at & 1 : at % stride),
        first(stride == 2 ? at >> 1 : at / stride),
        windows(phase < kernel ? (stride == 2 ? (kernel - 1 - phase) >> 1 : (kernel - 1 - phase) / stride) + 1 : 0) {}
};

// The rows of windows above one output row.
template <class T>
struct WindowRows {
  const typename Simd<T>::Number* values[256];
  const uint8_t* switches[256];
  int64_t tap[256];  // the switch of the window's row, at offset 0 of it
  int64_t count = 0;

  inline typename Simd<T>::Value sum(const Residue& residue, int64_t i, int64_t stride) const {
    using N = typename Simd<T>::Number;
    typename Simd<T>::Value sum{};
    for (int64_t o = 0; o < count; ++o)
      for (int64_t j = residue.windows - 1; j >= 0; --j) {
        const int64_t from = i + residue.first - j;
        unpool_add(Simd<N>::load(values[o] + from), load_switches<typename Simd<T>::Index>(switches[o] + from),
                   splat<T>(tap[o] + residue.phase + j * stride), sum);
      }
    return sum;
  }
};

// A row of stride 2, whatever its windows.
template <class T>
inline void unpool_row_by_two(const WindowRows<T>& rows, const WindowAxis& x, const Residue& even, const Residue& odd,
                              T* output) {
  using S = Simd<T>;
  for (int64_t i = 0; 2 * i < x.inputs; i += S::lanes) {
    typename S::Value low = rows.sum(even, i, 2), high = rows.sum(odd, i, 2);
    interleave<typename S::Value, typename S::Index>(low, high);
    S::store(output + 2 * i, low);
    S::store(output + 2 * i + S::lanes, high);
  }
}

// The same where even and odd pixels are in EVEN and ODD windows of each of ROWS rows, the odd ones' first SHIFT
// windows further: known, all this takes half the time.
template <int ROWS, int EVEN, int ODD, int SHIFT, class T>
inline void unpool_row_by_two(const WindowRows<T>& rows, const WindowAxis& x, const Residue& even, const Residue& odd,
                              T* output) {
  using S = Simd<T>;
  using N = typename S::Number;
  using Index = typename S::Index;
  const N* values[ROWS];
  const uint8_t* switches[ROWS];
  Index even_tap[ROWS][EVEN], odd_tap[ROWS][ODD];
  for (int o = 0; o < ROWS; ++o) {
    values[o] = rows.values[o] + even.first;
    switches[o] = rows.switches[o] + even.first;
    for (int j = 0; j < EVEN; ++j) even_tap[o][j] = splat<T>(rows.tap[o] + even.phase + 2 * j);
    for (int j = 0; j < ODD; ++j) odd_tap[o][j] = splat<T>(rows.tap[o] + odd.phase + 2 * j);
  }
  for (int64_t i = 0, n = x.inputs; 2 * i < n; i += S::lanes) {
    typename S::Value low{}, high{};
#pragma GCC unroll 2
    for (int o = 0; o < ROWS; ++o) {
      const auto add = [&](int64_t from, Index tap, typename S::Value& sum) __attribute__((always_inline)) {
        unpool_add(Simd<N>::load(values[o] + from), load_switches<Index>(switches[o] + from), tap, sum);
      };
#pragma GCC unroll 2
      for (int j = EVEN - 1; j >= 0; --j) add(i - j, even_tap[o][j], low);
#pragma GCC unroll 2
      for (int j = ODD - 1; j >= 0; --j) add(i + SHIFT - j, odd_tap[o][j], high);
    }
    interleave<typename S::Value, Index>(low, high);
    S::store(output + 2 * i, low);
    S::store(output + 2 * i + S::lanes, high);
  }
}

template <int EVEN, int ODD, int SHIFT, class T>
inline void unpool_row_by_two(const WindowRows<T>& rows, const WindowAxis& x, const Residue& even, const Residue& odd,
                              T* output) {
  switch (rows.count) {
    case 1: return unpool_row_by_two<1, EVEN, ODD, SHIFT>(rows, x, even, odd, output);
    case 2: return unpool_row_by_two<2, EVEN, ODD, SHIFT>(rows, x, even, odd, output);
    default: return unpool_row_by_two(rows, x, even, odd, output);
  }
}

// `output` has room for two vectors more.
template <class T>
inline void unpool_row(const WindowRows<T>& rows, const WindowAxis& x, T* output) {
  using S = Simd<T>;
  const int64_t s = x.stride;
  if (s == 1) {
    const Residue only(x, 0);
    for (int64_t i = 0; i < x.inputs; i += S::lanes) S::store(output + i, rows.sum(only, i, s));
  } else if (s == 2) {
    const Residue even(x, 0), odd(x, 1);
    const int64_t shift = odd.first - even.first;
    if (even.windows == 1 && odd.windows == 2 && shift == 1)  // 3x3 with padding, the windows of ZFNet
      unpool_row_by_two<1, 2, 1>(rows, x, even, odd, output);
    else if (even.windows == 2 && odd.windows == 1 && shift == 0)  // without
      unpool_row_by_two<2, 1, 0>(rows, x, even, odd, output);
    else if (even.windows == 1 && odd.windows == 1 && shift == 0)  // 2x2
      unpool_row_by_two<1, 1, 0>(rows, x, even, odd, output);
    else
      unpool_row_by_two(rows, x, even, odd, output);
  } else {
    for (int64_t r = 0; r < s && r < x.inputs; ++r) {
      const Residue residue(x, r);
      for (int64_t i = 0; i * s + r < x.inputs; i += S::lanes) {
        T sums[S::lanes];
        S::store(sums, rows.sum(residue, i, s));
        for (int64_t n = 0; n < S::lanes && (i + n) * s + r < x.inputs; ++n) output[(i + n) * s + r] = sums[n];
      }
    }
  }
}

// NCHW: rows [begin, end) of all the N * C * H output rows.
template <class T>
void unpool_nchw(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, T* output, int64_t begin,
                 int64_t end, bool past) {
  PaddedRows<T> pooled(p, (p.x.kernel - 1) / p.x.stride, (p.x.inputs + p.x.padding) / p.x.stride + 1);
  WindowRows<T> rows;
  Lines<T> lines(output + begin * p.x.inputs, p.x.inputs, past);
  int64_t plane = begin / p.y.inputs, y = begin % p.y.inputs;
  for (int64_t r = begin; r < end; ++r) {
    if (r == begin || y == p.y.inputs) {
      if (y == p.y.inputs) y = 0, ++plane;
      const int64_t from = plane * p.y.outputs * p.x.outputs;
      pooled.start(input + from, switches + from, gate == nullptr ? nullptr : gate + from);
    }
    const int64_t first = p.y.first_window(y);
    rows.count = p.y.last_window(y) - first;
    for (int64_t o = 0; o < rows.count; ++o) {
      pooled.row(first + o, rows.values[o], rows.switches[o]);
      rows.tap[o] = (y - p.y.start(first + o)) * p.x.kernel;
    }
    unpool_row(rows, p.x, lines.next());
    lines.made(p.x.inputs);
    ++y;
  }
}

// The windows that one output pixel is in: where their channels begin, and the switch that points here.
struct PixelWindows {
  int64_t from[256], tap[256], count = 0;
};

// All channels of one output pixel. COUNT is how many windows, 0: any.
template <int COUNT, bool GATED, class T>
inline void unpool_pixel(const T* input, const uint8_t* switches, const T* gate, const PixelWindows& windows,
                         int64_t channels, T* output) {
  using S = Simd<T>;
  const int64_t count = COUNT ? COUNT : windows.count;
  // Vectors beyond the channels may be stored, not loaded: the last one overlaps that before it.
  const Blocks<T> blocks{channels};
  const auto block = [&](int64_t c, auto value_at, auto switches_at) {
    typename S::Value sum{};
    for (int64_t w = 0; w < count; ++w) {
      const int64_t from = windows.from[w] + c;
      auto value = value_at(input + from);
      if constexpr (GATED) value = gated(value, value_at(gate + from));
      unpool_add(value, switches_at(switches + from), splat<T>(windows.tap[w]), sum);
    }
    S::store(output + c, sum);
  };
  if (blocks.whole())
    for (int64_t b = 0; b < blocks.count(); ++b)
      block(
          blocks.start(b), [](const T* p) { return S::load(p); },
          [](const uint8_t* p) { return load_switches<typename S::Index>(p); });
  else
    block(
        0, [&](const T* p) { return load_part(p, channels); },
        [&](const uint8_t* p) { return load_switches_part<typename S::Index>(p, channels); });
}

template <bool GATED, class T>
inline void unpool_pixel(const T* input, const uint8_t* switches, const T* gate, const PixelWindows& windows,
                         int64_t channels, T* output) {
  switch (windows.count) {
    case 1: return unpool_pixel<1, GATED>(input, switches, gate, windows, channels, output);
    case 2: return unpool_pixel<2, GATED>(input, switches, gate, windows, channels, output);
    case 4: return unpool_pixel<4, GATED>(input, switches, gate, windows, channels, output);
    default: return unpool_pixel<0, GATED>(input, switches, gate, windows, channels, output);
  }
}

// channels_last: rows [begin, end) of all the N * H output rows.
template <class T>
void unpool_nhwc(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, T* output, int64_t begin,
                 int64_t end, bool past) {
  Scratch<int64_t> first(p.x.inputs, 0), last(p.x.inputs, 0);
  for (int64_t x = 0; x < p.x.inputs; ++x) {
    first.get()[x] = p.x.first_window(x);
    last.get()[x] = p.x.last_window(x);
  }
  PixelWindows windows;
  Lines<T> lines(output + begin * p.x.inputs * p.channels, p.channels, past);
  for (int64_t r = begin; r < end; ++r) {
    const int64_t y = r % p.y.inputs, y0 = p.y.first_window(y), y1 = p.y.last_window(y);
    const int64_t image = r / p.y.inputs * p.y.outputs * p.x.outputs;
    for (int64_t x = 0; x < p.x.inputs; ++x) {
      windows.count = 0;
      for (int64_t oy = y0; oy < y1; ++oy)
        for (int64_t ox = first.get()[x]; ox < last.get()[x]; ++ox) {
          windows.from[windows.count] = (image + oy * p.x.outputs + ox) * p.channels;
          windows.tap[windows.count++] = (y - p.y.start(oy)) * p.x.kernel + x - p.x.start(ox);
        }
      if (gate != nullptr)
        unpool_pixel<true>(input, switches, gate, windows, p.channels, lines.next());
      else
        unpool_pixel<false>(input, switches, gate, windows, p.channels, lines.next());
      lines.made(p.channels);
    }
  }
}

// Pooling, unpooling and gathering by switch for one instruction set. No include guard: see foreach_isa.h.
#include "cpu/simd.h"
#include "pooling.h"
#include "cpu/pool_rows.h"

template <class T>
struct PoolSink {
  Blocks<T> blocks;
  T* output;
  uint8_t* switches;
  void operator()(int64_t i, typename Simd<T>::Value best, typename Simd<T>::Index at) const {
    blocks.store(output + i, best);
    blocks.store_at(switches + i, at);
  }
};

// NCHW: rows [begin, end) of all the N * C * Ho output rows.
template <class T>
void pool_nchw(const T* input, const Pooling& p, bool relu, T* output, uint8_t* switches, int64_t begin, int64_t end) {
  PhaseRows<T> rows(p);
  int64_t plane = -1;
  for (int64_t r = begin; r < end; ++r) {
    if (r / p.y.outputs != plane) {
      plane = r / p.y.outputs;
      rows.start(input + plane * p.y.inputs * p.x.inputs);
    }
    pool_row(rows, p, r % p.y.outputs, relu,
             PoolSink<T>{{p.x.outputs}, output + r * p.x.outputs, switches + r * p.x.outputs});
  }
}

// channels_last: pixels [begin, end) of all the N * Ho * Wo output pixels.
template <class T>
void pool_nhwc(const T* input, const Pooling& p, bool relu, T* output, uint8_t* switches, int64_t begin, int64_t end) {
  const int64_t area = p.y.outputs * p.x.outputs, picture = p.y.inputs * p.x.inputs * p.channels;
  for (int64_t i = begin; i < end; ++i)
    pool_pixel(input + i / area * picture, p, i % area / p.x.outputs, i % p.x.outputs, relu,
               PoolSink<T>{{p.channels}, output + i * p.channels, switches + i * p.channels});
}

// ---------------------------------------------------------------- unpooling

template <class Value, class Index>
inline void interleave(Value a, Value b, Value& low, Value& high) {
  constexpr int lanes = sizeof(Value) / sizeof(Value{}[0]);
  Index from_low{}, from_high{};
  for (int i = 0; i < lanes; ++i) {
    from_low[i] = i / 2 + i % 2 * lanes;
    from_high[i] = lanes / 2 + i / 2 + i % 2 * lanes;
  }
  low = __builtin_shuffle(a, b, from_low);
  high = __builtin_shuffle(a, b, from_high);
}

// The rows of one pooled picture [Ho,Wo], with zeros at both ends, so that windows that do not exist add nothing.
template <class T>
class PaddedRows {
  using S = Simd<T>;
  using N = typename S::Number;

 public:
  PaddedRows(const Pooling& p, int64_t margin, int64_t columns)
      : outputs_(p.x.outputs),
        margin_(margin),
        slots_((p.y.kernel - 1) / p.y.stride + 1),
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
    const int64_t slot = y % slots_;
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

// NCHW: rows [begin, end) of all the N * C * H output rows.
template <class T>
void unpool_nchw(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, T* output, int64_t begin,
                 int64_t end) {
  using S = Simd<T>;
  using N = typename S::Number;
  const int64_t s = p.x.stride, kw = p.x.kernel;
  const int64_t columns = (p.x.padding + p.x.inputs - 1) / s + 1;  // per phase of (x + padding) % stride
  const int64_t length = round_up(columns, 64);
  PaddedRows<T> pooled(p, (kw - 1) / s, length);
  Scratch<N> phases(s * length, N{}), line(s * length + 64, N{});
  const Blocks<T> blocks{p.x.inputs};
  int64_t plane = -1;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t y = r % p.y.inputs;
    if (r / p.y.inputs != plane) {
      plane = r / p.y.inputs;
      const int64_t from = plane * p.y.outputs * p.x.outputs;
      pooled.start(input + from, switches + from, gate == nullptr ? nullptr : gate + from);
    }
    const int64_t o0 = p.y.first_window(y), o1 = p.y.last_window(y);
    const N* values[256];
    const uint8_t* offsets[256];
    for (int64_t o = o0; o < o1; ++o) pooled.row(o, values[o - o0], offsets[o - o0]);
    for (int64_t phase = 0; phase < s; ++phase) {
      // The windows of column q of this phase: q - j, at offset phase + j * stride.
      const int64_t windows = phase < kw ? (kw - 1 - phase) / s + 1 : 0;
      for (int64_t q = 0; q < columns; q += S::lanes) {
        typename S::Value sum{};
        for (int64_t o = o0; o < o1; ++o) {
          const int64_t ky = y - p.y.start(o);
          for (int64_t j = windows - 1; j >= 0; --j)
            unpool_add(Simd<N>::load(values[o - o0] + q - j),
                       load_switches<typename S::Index>(offsets[o - o0] + q - j),
                       splat<T>(ky * kw + phase + j * s), sum);
        }
        Simd<N>::store(phases.get() + phase * length + q, sum);
      }
    }
    const N* row = phases.get();
    if (s == 2) {
      for (int64_t q = 0; q < columns; q += S::lanes) {
        typename S::Value low, high;
        interleave<typename S::Value, typename S::Index>(Simd<N>::load(phases.get() + q),
                                                         Simd<N>::load(phases.get() + length + q), low, high);
        Simd<N>::store(line.get() + 2 * q, low);
        Simd<N>::store(line.get() + 2 * q + S::lanes, high);
      }
      row = line.get();
    } else if (s > 2) {
      for (int64_t phase = 0; phase < s; ++phase)
        for (int64_t q = 0; q < columns; ++q) line.get()[q * s + phase] = phases.get()[phase * length + q];
      row = line.get();
    }
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t x = blocks.start(b);
      blocks.store(output + r * p.x.inputs + x, Simd<N>::load(row + p.x.padding + x));
    }
  }
}

// channels_last: pixels [begin, end) of all the N * H * W output pixels.
template <class T>
void unpool_nhwc(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, T* output, int64_t begin,
                 int64_t end) {
  using S = Simd<T>;
  const int64_t area = p.y.inputs * p.x.inputs, channels = p.channels;
  const Blocks<T> blocks{channels};
  for (int64_t i = begin; i < end; ++i) {
    const int64_t y = i % area / p.x.inputs, x = i % p.x.inputs;
    const int64_t y0 = p.y.first_window(y), y1 = p.y.last_window(y);
    const int64_t x0 = p.x.first_window(x), x1 = p.x.last_window(x);
    const int64_t picture = i / area * p.y.outputs * p.x.outputs;
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t c = blocks.start(b);
      typename S::Value sum{};
      for (int64_t oy = y0; oy < y1; ++oy)
        for (int64_t ox = x0; ox < x1; ++ox) {
          const int64_t from = (picture + oy * p.x.outputs + ox) * channels + c;
          auto value = blocks.load(input + from);
          if (gate != nullptr) value = gated(value, blocks.load(gate + from));
          unpool_add(value, blocks.load_at(switches + from),
                     splat<T>((y - p.y.start(oy)) * p.x.kernel + x - p.x.start(ox)), sum);
        }
      blocks.store(output + i * channels + c, sum);
    }
  }
}

// ---------------------------------------------------------------- gathering by switch

// Elements [begin, end) of the pooled picture, in memory order; both formats.
template <class T>
void gather(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, bool channels_last, T* output,
            int64_t begin, int64_t end) {
  const int64_t area = p.y.outputs * p.x.outputs, kw = p.x.kernel, taps = p.y.kernel * kw;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t pixel = channels_last ? i / p.channels : i;  // of one picture or plane, then of all
    const int64_t oy = pixel % area / p.x.outputs, ox = pixel % p.x.outputs, group = pixel / area;
    const int64_t tap = switches[i];
    const int64_t y = p.y.start(oy) + tap / kw, x = p.x.start(ox) + tap % kw;
    const bool inside = tap < taps && y >= 0 && y < p.y.inputs && x >= 0 && x < p.x.inputs;
    const bool passes = inside && !(gate != nullptr && gate[i] <= T(0));
    const int64_t at = (group * p.y.inputs + y) * p.x.inputs + x;
    output[i] = passes ? input[channels_last ? at * p.channels + i % p.channels : at] : T(0);
  }
}

// Pooling with switches and gathering by switch for one instruction set. No include guard: see foreach_isa.inl.
#include "cpu/simd.inl"
#include "pooling.inl"
#include "cpu/pool_rows.inl"

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
  int64_t plane = begin / p.y.outputs, oy = begin % p.y.outputs;
  for (int64_t r = begin; r < end; ++r) {
    if (r == begin || oy == 0) rows.start(input + plane * p.y.inputs * p.x.inputs);
    pool_row(rows, p, oy, relu, PoolSink<T>{{p.x.outputs}, output + r * p.x.outputs, switches + r * p.x.outputs});
    if (++oy == p.y.outputs) oy = 0, ++plane;
  }
}

// channels_last: rows [begin, end) of all the N * Ho output rows.
template <class T>
void pool_nhwc(const T* input, const Pooling& p, bool relu, T* output, uint8_t* switches, int64_t begin, int64_t end) {
  const int64_t image = p.y.inputs * p.x.inputs * p.channels;
  for (int64_t r = begin; r < end; ++r) {
    const T* from = input + r / p.y.outputs * image;
    const int64_t oy = r % p.y.outputs;
    for (int64_t ox = 0; ox < p.x.outputs; ++ox) {
      const int64_t to = (r * p.x.outputs + ox) * p.channels;
      pool_pixel(from, p, oy, ox, relu, PoolSink<T>{{p.channels}, output + to, switches + to});
    }
  }
}

// ---------------------------------------------------------------- gathering by switch

// The value that the switch of one pooled element points at, wherever that is. group: the image, or of NCHW the plane.
template <class T>
inline T gathered(const T* input, int64_t tap, const Pooling& p, int64_t group, int64_t oy, int64_t ox,
                  int64_t channels, int64_t c) {
  const int64_t taps = p.y.kernel * p.x.kernel;
  const int64_t y = p.y.start(oy) + tap / p.x.kernel, x = p.x.start(ox) + tap % p.x.kernel;
  const bool inside = tap < taps && y >= 0 && y < p.y.inputs && x >= 0 && x < p.x.inputs;
  return inside ? input[((group * p.y.inputs + y) * p.x.inputs + x) * channels + c] : T(0);
}

// Rows [begin, end) of the pooled image: of all the N * Ho (channels_last) or N * C * Ho.
template <class T>
void gather(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, bool channels_last, T* output,
            int64_t begin, int64_t end) {
  const int64_t channels = channels_last ? p.channels : 1, taps = p.y.kernel * p.x.kernel;
  // How far from its window's first element a switch points; one that points nowhere is refused by `taps`.
  Scratch<int64_t> memory(256, 0);
  int64_t* away = memory.get();
  for (int64_t t = 0; t < taps; ++t) away[t] = (t / p.x.kernel * p.x.inputs + t % p.x.kernel) * channels;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t group = r / p.y.outputs, oy = r % p.y.outputs, y = p.y.start(oy);
    const bool rows_inside = y >= 0 && y + p.y.kernel <= p.y.inputs;
    for (int64_t ox = 0; ox < p.x.outputs; ++ox) {
      const int64_t x = p.x.start(ox), to = (r * p.x.outputs + ox) * channels;
      if (rows_inside && x >= 0 && x + p.x.kernel <= p.x.inputs) {
        const T* window = input + ((group * p.y.inputs + y) * p.x.inputs + x) * channels;
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t tap = switches[to + c];
          output[to + c] = tap < taps ? window[away[tap] + c] : T(0);
        }
      } else {
        for (int64_t c = 0; c < channels; ++c)
          output[to + c] = gathered(input, switches[to + c], p, group, oy, ox, channels, c);
      }
    }
    if (gate != nullptr) {
      const int64_t n = p.x.outputs * channels, at = r * n;
      const Blocks<T> blocks{n};
      // The last block overlaps that before it: what has passed once passes twice.
      for (int64_t b = 0; b < blocks.count(); ++b) {
        const int64_t i = at + blocks.start(b);
        blocks.store(output + i, gated(blocks.load(output + i), blocks.load(gate + i)));
      }
    }
  }
}

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

// Elements [begin, end) of the pooled image, in memory order; both formats.
template <class T>
void gather(const T* input, const uint8_t* switches, const T* gate, const Pooling& p, bool channels_last, T* output,
            int64_t begin, int64_t end) {
  const int64_t area = p.y.outputs * p.x.outputs, kw = p.x.kernel, taps = p.y.kernel * kw;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t pixel = channels_last ? i / p.channels : i;  // of one image or plane, then of all
    const int64_t oy = pixel % area / p.x.outputs, ox = pixel % p.x.outputs, group = pixel / area;
    const int64_t tap = switches[i];
    const int64_t y = p.y.start(oy) + tap / kw, x = p.x.start(ox) + tap % kw;
    const bool inside = tap < taps && y >= 0 && y < p.y.inputs && x >= 0 && x < p.x.inputs;
    const bool passes = inside && !(gate != nullptr && gate[i] <= T(0));
    const int64_t at = (group * p.y.inputs + y) * p.x.inputs + x;
    output[i] = passes ? input[channels_last ? at * p.channels + i % p.channels : at] : T(0);
  }
}

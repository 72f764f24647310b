// The largest or the sum of some rows of channels. No include guard: see foreach_isa.inl.
#include "cpu/simd.inl"
#include "pooling.inl"

template <class T>
inline void pool_rows(const PooledRows<T>& p) {
  using S = Simd<T>;
  using Value = typename S::Value;
  using Index = typename S::Index;
  const Blocks<T> blocks{p.channels};
  const T* const* inputs = p.inputs;
  T* to = p.output;
  for (int64_t row = 0; row < p.rows; ++row, inputs += p.counts[row - 1], to += p.channels)
    for (int64_t b = 0; b < blocks.count(); ++b) {
      const int64_t c = blocks.start(b);
      Value value = Value{} + (p.sum ? 0 : -std::numeric_limits<typename S::Number>::infinity());
      Index nowhere{};
      for (int32_t i = 0; i < p.counts[row]; ++i) {
        const Value next = blocks.load(inputs[i] + c);
        if (p.sum)
          value += next;
        else
          pool_take(next, Index{}, value, nowhere);
      }
      blocks.store(to + c, value);
    }
}

// Pooling and unpooling, the arithmetic of one element. V is a number or a vector of numbers, I its index type.
// No include guard: this is compiled once per instruction set (cpu/foreach_isa.inl), each time in another namespace.

// Shows `value` at offset `tap` to a window whose winner so far is `best` at `at`. As torch: the first of equals wins,
// and a NaN takes the place of everything before it. A fused ReLU costs nothing: it starts `best` at 0 instead of
// -infinity.
template <class V, class I>
ZFCUDA_HOST_DEVICE void pool_take(V value, I tap, V& best, I& at) {
  const auto wins = (value > best) | (value != value);
  best = wins ? value : best;
  at = wins ? tap : at;
}

// The same of values none of which is NaN.
template <class V, class I>
ZFCUDA_HOST_DEVICE void pool_take_number(V value, I tap, V& best, I& at) {
  const auto wins = value > best;
  best = wins ? value : best;
  at = wins ? tap : at;
}

// Adds a window's value to the pixel at its offset `tap`, if the window's switch points there.
template <class V, class I>
ZFCUDA_HOST_DEVICE void unpool_add(V value, I at, I tap, V& sum) {
  sum += at == tap ? value : V{};
}

// The gradient of ReLU: an element whose output was not positive passes nothing on; NaN passes, as in torch.
template <class V>
ZFCUDA_HOST_DEVICE V gated(V value, V gate) {
  return gate <= V{} ? V{} : value;
}

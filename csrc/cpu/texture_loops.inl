// The distances of a window of a texture. No include guard: see foreach_isa.inl.

// Squared distances of a window to rows of bytes. The width is a multiple of 64, and small enough for 32 bits.
inline void squared_distances(const uint8_t* window, const uint8_t* rows, int64_t count, int64_t width, int32_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* const row = rows + i * width;
    int32_t sum = 0;
    for (int64_t j = 0; j < width; ++j) {
      const auto difference = static_cast<int16_t>(window[j] - row[j]);
      sum += difference * difference;
    }
    out[i] = sum;
  }
}

// An output that is written from front to back, in whole cache lines. No include guard: see foreach_isa.inl.

// Writes a multiple of 64 bytes, all aligned; `past` the caches: memory is then not read before it is written, which a
// store to a line that is not in the cache does.
inline void store_lines(char* to, const char* from, int64_t size, bool past) {
#if defined(__x86_64__)
  if (past) {
    for (int64_t i = 0; i < size; i += VECTOR_BYTES) {
#if VECTOR_BYTES == 64
      _mm512_stream_si512((__m512i*)(to + i), _mm512_load_si512((const __m512i*)(from + i)));
#elif VECTOR_BYTES == 32
      _mm256_stream_si256((__m256i*)(to + i), _mm256_load_si256((const __m256i*)(from + i)));
#else
      _mm_stream_si128((__m128i*)(to + i), _mm_load_si128((const __m128i*)(from + i)));
#endif
    }
    return;
  }
#endif
  __builtin_memcpy(to, from, size);
}

// Rows, of whatever length, are made in working memory that the L1 cache holds: with room behind them, so that vectors
// may be stored whole, and at the same place within a line as in the output, so that lines leave it aligned.
template <class T>
class Lines {
 public:
  // row: the most elements that are made at once.
  Lines(T* output, int64_t row, bool past)
      : past_(past),
        lead_(static_cast<int64_t>(reinterpret_cast<uintptr_t>(output) % kLine)),
        held_(lead_),
        line_(reinterpret_cast<char*>(output) - lead_),
        memory_(kHeld + 2 * kLine + row * static_cast<int64_t>(sizeof(T)) + 2 * VECTOR_BYTES, 0) {}
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  ~Lines() {
    write();
    __builtin_memcpy(line_ + lead_, memory_.get() + lead_, held_ - lead_);
#if defined(__x86_64__)
    if (past_) _mm_sfence();
#endif
  }

  // Where the next elements are to be made: as many as the constructor was told, and two vectors more.
  T* next() { return reinterpret_cast<T*>(memory_.get() + held_); }

  // n of them are.
  void made(int64_t n) {
    held_ += n * static_cast<int64_t>(sizeof(T));
    // Not earlier: a load that crosses two stores on their way to the cache waits for both.
    if (held_ >= kHeld) write();
  }

 private:
  static constexpr int64_t kLine = 64, kHeld = 4096;

  void write() {
    const int64_t whole = held_ / kLine * kLine;
    if (whole == 0) return;
    int64_t from = 0;
    if (lead_ > 0) {  // what lies before the output in its first line is not ours
      __builtin_memcpy(line_ + lead_, memory_.get() + lead_, kLine - lead_);
      from = kLine;
      lead_ = 0;
    }
    store_lines(line_ + from, memory_.get() + from, whole - from, past_);
    __builtin_memcpy(memory_.get(), memory_.get() + whole, kLine);
    line_ += whole;
    held_ -= whole;
  }

  bool past_;
  int64_t lead_, held_;  // bytes of the working memory: those that are not the output's, and those that wait
  char* line_;           // where the working memory's first line goes
  Scratch<char> memory_;
};

// Codes held as float32 to bytes. Outside of the range they count as its nearest end, and what is no number as the
// lower one.
template <class Byte>
void bytes_of_codes(const float* x, int64_t count, float low, float high, Byte* to) {
  for (int64_t i = 0; i < count; ++i) {
    const float least = x[i] > low ? x[i] : low;
    to[i] = static_cast<Byte>(static_cast<int32_t>(least < high ? least : high));
  }
}

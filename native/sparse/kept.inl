// Entries lie a few apart: most lines of the weight are touched whichever way they are read, and gather instructions
// took a tenth longer than one load after the other.
template <class T>
void gather_kept(const T* weight, const int32_t* index, int64_t count, T* values) {
  for (int64_t i = 0; i < count; ++i) values[i] = weight[index[i]];
}

template <class T>
void scatter_kept(const T* values, const int32_t* index, int64_t count, T* weight) {
  for (int64_t i = 0; i < count; ++i) weight[index[i]] = values[i];
}

template <class T>
void differs(const T* mask, const uint8_t* kept, int64_t n, char* other) {
  int32_t different = 0;
  for (int64_t i = 0; i < n; ++i) different |= mask[i] != static_cast<T>(kept[i]);
  *other = different != 0;
}

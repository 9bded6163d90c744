#include "kernels/row.inl"

template <class T>
void embedding(espalier_table shape, int64_t count, const T* weight, const int32_t* indices, T* y) {
  const int64_t size = shape.size;
  parallel_ranges(count, std::max<int64_t>(1, kEmbeddingGrain / std::max<int64_t>(1, size)),
                  [=](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) std::copy_n(weight + indices[i] * size, size, y + i * size);
                  });
}

// A piece owns a range of the table's rows, so that no two threads add to one row and each row adds up
// in the order of the indices.
template <class T>
void embedding_backward(espalier_table shape, int64_t count, const T* dy, const int32_t* indices, int64_t padding,
                        T* dweight) {
  const int64_t rows = shape.rows, size = shape.size;
  if (rows == 0 || size == 0) return;
  const int64_t grain =
      std::max({int64_t{1}, kEmbeddingGrain / size, (rows + kEmbeddingPieces - 1) / kEmbeddingPieces});
  parallel_ranges(rows, grain, [=](int64_t begin, int64_t end) {
    std::fill_n(dweight + begin * size, (end - begin) * size, T{0});
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = indices[i];
      if (row < begin || row >= end || row == padding) continue;
      T* const to = dweight + row * size;
      const T* const from = dy + i * size;
      by_vectors<T>(size, [=](int64_t k, auto part) { part.write(to + k, part.read(to + k) + part.read(from + k)); });
    }
  });
}

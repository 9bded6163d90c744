#include "simd/transpose.inl"

template <class T, int From>
struct EverySecond {
  static constexpr int at(int i) { return 2 * i + From; }
};

// Lines of one row: line (segment, place) takes its lanes from start[…] on, `apart` from one another.
ESPALIER_INLINE void line_next_to(const float* from, int64_t count, float* to) {
  // (Halves and quarters of a line are whole moves.)
  switch (count) {
    case 16: std::memcpy(to, from, 64); break;
    case 8: std::memcpy(to, from, 32); break;
    case 4: std::memcpy(to, from, 16); break;
    default:
      for (int64_t c = 0; c < count; ++c) to[c] = from[c];
  }
}
ESPALIER_INLINE void line_of_every_second(const float* from, float* to) {
  for (int i = 0; i < 16; i += kLanes<float>) {
    const Vec<float> a = load<float>(from + 2 * i), b = load<float>(from + 2 * i + kLanes<float>);
    store<float>(to + i, shuffle<float, EverySecond<float, 0>>(a, b));
  }
}

// A row of a channel, with zeros around it, to the lines of its places.
inline void lines_of_row(const Packing& packing, const float* row, int64_t apart, float* to) {
  const Tiling& tiling = packing.tiling;
  const int64_t places = packing.right.count(), segment = tiling.segment() * packing.columns.stride;
  const int64_t* const place = packing.right.place.data();
  for (int64_t s = 0; s < tiling.segments; ++s)
    for (int64_t q = 0; q < places; ++q, to += 16) {
      const float* const from = row + s * segment + (place[q] - place[0]);
      if (apart == 1) line_next_to(from, tiling.columns, to);
      else if (apart == 2 && tiling.columns == 16) line_of_every_second(from, to);
      else
        for (int64_t c = 0; c < tiling.columns; ++c) to[c] = from[c * apart];
    }
}

// The same from the row as it is, where zeros around it would be out of proportion.
inline void lines_of_bare_row(const Packing& packing, const float* row, int64_t apart, float* to) {
  const Tiling& tiling = packing.tiling;
  const int64_t places = packing.right.count(), segment = tiling.segment() * packing.columns.stride;
  for (int64_t s = 0; s < tiling.segments; ++s)
    for (int64_t q = 0; q < places; ++q, to += 16)
      for (int64_t c = 0; c < tiling.columns; ++c) {
        const int64_t at = s * segment + packing.right.place[static_cast<size_t>(q)] + c * apart;
        to[c] = at >= 0 && at < packing.columns.in ? row[at] : 0.0f;
      }
}

// One band of one channel. `buffer` has room for `pitch` floats a row, `together` rows, and is zero where no row
// is written.
inline void pack_band(const Packing& packing, const float* x, int64_t first_row, int64_t apart, float* buffer,
                      int64_t pitch, int64_t together, float* to) {
  const int64_t row_lines = packing.tiling.segments * packing.right.count() * 16, places = packing.down.count();
  const int64_t left = -packing.right.place[0];
  // The part of a row that any line reads.
  const int64_t begin = left >= 0 ? 0 : -left;
  int64_t end = pitch - left;
  if (end > packing.columns.in) end = packing.columns.in;
  for (int64_t from = 0; from < places; from += together) {
    const int64_t last = from + together < places ? from + together : places;
    for (int64_t i = from; i < last && buffer != nullptr; ++i) {
      const int64_t at = first_row + packing.down.place[static_cast<size_t>(i)];
      if (at < 0 || at >= packing.rows.in || begin >= end) continue;
      const float* const row = x + at * packing.columns.in + begin;
      float* const copy = buffer + (i - from) * pitch + left + begin;
      const int64_t length = end - begin;
      int64_t j = 0;
      for (; j + kLanes<float> <= length; j += kLanes<float>) store<float>(copy + j, load<float>(row + j));
      if (j < length) store_first<float>(copy + j, load_first<float>(row + j, length - j), length - j);
    }
    for (int64_t i = from; i < last; ++i) {
      const int64_t at = first_row + packing.down.place[static_cast<size_t>(i)];
      float* const lines = to + i * row_lines;
      if (at < 0 || at >= packing.rows.in || begin >= end)
        for (int64_t j = 0; j < row_lines; j += 16)
          for (int64_t c = 0; c < packing.tiling.columns; ++c) lines[j + c] = 0.0f;
      else if (buffer != nullptr) lines_of_row(packing, buffer + (i - from) * pitch, apart, lines);
      else lines_of_bare_row(packing, x + at * packing.columns.in, apart, lines);
    }
  }
}

// Lines of a row to where their outputs stand, `there` of them, `step` apart from one another.
ESPALIER_INLINE void row_of_lines(const float* from, int64_t pitch, int64_t columns, int64_t vectors, int64_t there,
                                  int64_t step, float* y) {
  if (step == 1 && vectors == 1) {
    if (there >= columns) line_next_to(from, columns, y);
    else
      for (int64_t c = 0; c < there; ++c) y[c] = from[c];
  } else if (step == 1 && vectors == 2 && columns == 16 && there >= 32) {
    for (int i = 0; i < 16; i += kLanes<float>) {
      const Vec<float> a = load<float>(from + i), b = load<float>(from + pitch + i);
      store<float>(y + 2 * i, shuffle<float, Interleaved<float, 0>>(a, b));
      store<float>(y + 2 * i + kLanes<float>, shuffle<float, Interleaved<float, 1>>(a, b));
    }
  } else {
    for (int64_t v = 0; v < vectors; ++v)
      for (int64_t c = 0; v + c * vectors < there && c < columns; ++c)
        y[(v + c * vectors) * step] = from[v * pitch + c];
  }
}

// One band of one phase; `y` begins at its first output of the first channel.
inline void unpack_band(const Tiling& tiling, const float* from, int64_t pitch, int64_t channels, int64_t rows,
                        int64_t width, int64_t plane, int64_t row_step, int64_t column_step, float* y) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t row = 0; row < rows; ++row) {
      const float* lines = from + row * tiling.row_lines() * pitch + c * 16;
      float* to = y + c * plane + row * row_step;
      for (int64_t left = width; left > 0; left -= tiling.segment()) {
        row_of_lines(lines, pitch, tiling.columns, tiling.vectors, left, column_step, to);
        lines += tiling.vectors * pitch;
        to += tiling.segment() * column_step;
      }
    }
}

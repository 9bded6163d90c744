#include "simd/transpose.inl"

template <class T, int From>
struct EverySecond {
  static constexpr int at(int i) { return 2 * i + From; }
};

// Part of a row to part of a line, or back. (Halves and quarters of a line are whole moves.)
ESPALIER_INLINE void line_next_to(const float* from, int64_t count, float* to) {
  switch (count) {
    case 16: std::memcpy(to, from, 64); break;
    case 8: std::memcpy(to, from, 32); break;
    case 4: std::memcpy(to, from, 16); break;
    default:
      for (int64_t c = 0; c < count; ++c) to[c] = from[c];
  }
}
// The even columns from `from` on, and the odd ones to the line behind.
ESPALIER_INLINE void lines_of_every_second(const float* from, bool odd, float* to) {
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += kLanes<float>) {
    const Vec<float> a = load<float>(from + 2 * i), b = load<float>(from + 2 * i + kLanes<float>);
    store<float>(to + i, shuffle<float, EverySecond<float, 0>>(a, b));
    if (odd) store<float>(to + 16 + i, shuffle<float, EverySecond<float, 1>>(a, b));
  }
}

// How lanes of a line lie in a row: next to one another or every second, a whole line's, or anyhow.
enum class Lanes { kNext, kSecond, kNextPart, kApart };
inline Lanes lanes_of(const Packing& packing) {
  const int64_t apart = packing.tiling.vectors * packing.columns.stride;
  if (packing.tiling.columns == 16) return apart == 1 ? Lanes::kNext : apart == 2 ? Lanes::kSecond : Lanes::kApart;
  return apart == 1 ? Lanes::kNextPart : Lanes::kApart;
}

// A row of a channel, with zeros around it, to the lines of its places. `row` is where its column 0 stands.
template <Lanes Kind>
ESPALIER_INLINE void lines_of_row(const float* row, const int64_t* place, int64_t places, int64_t segments,
                                  int64_t segment, int64_t columns, int64_t apart, float* to) {
  for (int64_t s = 0; s < segments; ++s, row += segment, to += places * 16) {
    for (int64_t q = 0; q < places; ++q) {
      const float* const from = row + place[q];
      float* const line = to + q * 16;
      if constexpr (Kind == Lanes::kNext) {
#pragma GCC unroll 4
        for (int i = 0; i < 16; i += kLanes<float>) store<float>(line + i, load<float>(from + i));
      } else if constexpr (Kind == Lanes::kSecond) {
        // The odd columns are the line behind, if that is packed.
        const bool odd = q + 1 < places && place[q + 1] == place[q] + 1;
#pragma GCC unroll 4
        for (int i = 0; i < 16; i += kLanes<float>) {
          const Vec<float> a = load<float>(from + 2 * i), b = load<float>(from + 2 * i + kLanes<float>);
          store<float>(line + i, shuffle<float, EverySecond<float, 0>>(a, b));
          if (odd) store<float>(line + 16 + i, shuffle<float, EverySecond<float, 1>>(a, b));
        }
        q += odd;
      } else if constexpr (Kind == Lanes::kNextPart) {
        line_next_to(from, columns, line);
      } else {
        for (int64_t c = 0; c < columns; ++c) line[c] = from[c * apart];
      }
    }
  }
}

// `floats` of whole lines, the first `columns` of each.
ESPALIER_INLINE void zero_lines(float* lines, int64_t columns, int64_t floats) {
  for (int64_t j = 0; j < floats; j += 16)
    if (columns == 16)
      for (int i = 0; i < 16; i += kLanes<float>) store<float>(lines + j + i, Vec<float>{});
    else
      for (int64_t c = 0; c < columns; ++c) lines[j + c] = 0.0f;
}

// The same from the row as it is, where zeros around it would be out of proportion.
inline void lines_of_bare_row(const Packing& packing, const float* row, float* to) {
  const Tiling& tiling = packing.tiling;
  const int64_t apart = tiling.vectors * packing.columns.stride;
  const int64_t places = packing.right.count(), segment = tiling.segment() * packing.columns.stride;
  for (int64_t s = 0; s < tiling.segments; ++s)
    for (int64_t q = 0; q < places; ++q, to += 16)
      for (int64_t c = 0; c < tiling.columns; ++c) {
        const int64_t at = s * segment + packing.right.place[static_cast<size_t>(q)] + c * apart;
        to[c] = at >= 0 && at < packing.columns.in ? row[at] : 0.0f;
      }
}

// One band of one channel.
template <Lanes Kind>
void pack_band_of(const Packing& packing, const Margins& margins, const float* x, int64_t first_row, float* to) {
  const Tiling tiling = packing.tiling;
  const int64_t places = packing.right.count(), row_lines = tiling.segments * places * 16;
  const int64_t stride = packing.columns.stride, width = packing.columns.in, height = packing.rows.in;
  const int64_t *const right = packing.right.place.data(), *const down = packing.down.place.data();
  const int64_t rows = packing.down.count(), length = margins.end - margins.begin;
  const Margins at = margins;
  for (int64_t from = 0; from < rows; from += at.rows) {
    const int64_t last = from + at.rows < rows ? from + at.rows : rows;
    float* copy = at.buffer + at.zero + at.begin;
    for (int64_t i = from; i < last; ++i, copy += at.pitch) {
      const int64_t r = first_row + down[i];
      if (r < 0 || r >= height) continue;
      const float* const row = x + r * width + at.begin;
      int64_t j = 0;
      for (; j + kLanes<float> <= length; j += kLanes<float>) store<float>(copy + j, load<float>(row + j));
      if (j < length) store_first<float>(copy + j, load_first<float>(row + j, length - j), length - j);
    }
    const float* row = at.buffer + at.zero;
    for (int64_t i = from; i < last; ++i, row += at.pitch) {
      const int64_t r = first_row + down[i];
      float* const lines = to + i * row_lines;
      if (r < 0 || r >= height) zero_lines(lines, tiling.columns, row_lines);
      else
        lines_of_row<Kind>(row, right, places, tiling.segments, tiling.segment() * stride, tiling.columns,
                           tiling.vectors * stride, lines);
    }
  }
}

inline void pack_band(const Packing& packing, const Margins& margins, const float* x, int64_t first_row, float* to) {
  if (margins.buffer != nullptr) switch (lanes_of(packing)) {
      case Lanes::kNext: return pack_band_of<Lanes::kNext>(packing, margins, x, first_row, to);
      case Lanes::kSecond: return pack_band_of<Lanes::kSecond>(packing, margins, x, first_row, to);
      case Lanes::kNextPart: return pack_band_of<Lanes::kNextPart>(packing, margins, x, first_row, to);
      case Lanes::kApart: return pack_band_of<Lanes::kApart>(packing, margins, x, first_row, to);
    }
  const int64_t row_lines = packing.tiling.segments * packing.right.count() * 16;
  for (int64_t i = 0; i < packing.down.count(); ++i, to += row_lines) {
    const int64_t row = first_row + packing.down.place[static_cast<size_t>(i)];
    if (row < 0 || row >= packing.rows.in) zero_lines(to, packing.tiling.columns, row_lines);
    else lines_of_bare_row(packing, x + row * packing.columns.in, to);
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

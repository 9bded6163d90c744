#include "simd/transpose.inl"

template <class T, int From>
struct EverySecond {
  static constexpr int at(int i) { return 2 * i + From; }
};

// One half of the first vector's lanes between the second one's odd ones.
template <class T, int Half>
struct Between {
  static constexpr int at(int i) { return i % 2 == 0 ? i / 2 + Half * kLanes<T> / 2 : kLanes<T> + i; }
};
// The lanes of two vectors from the first one's last, or its second, on.
template <class T>
struct LaneBefore {
  static constexpr int at(int i) { return kLanes<T> - 1 + i; }
};
template <class T>
struct LaneBehind {
  static constexpr int at(int i) { return 1 + i; }
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

// How lanes of a line lie in a row: next to one another or every second, of a row that is one segment or of any; part
// of a line; or anyhow.
enum class Lanes { kWholeRow, kTwoOfWholeRow, kNext, kSecond, kNextPart, kApart };
inline Lanes lanes_of(const Packing& packing) {
  const int64_t vectors = packing.tiling.vectors, apart = vectors * packing.columns.stride;
  const auto& place = packing.right.place;
  if (apart == vectors && vectors <= 2 && packing.tiling.columns == 16 && packing.columns.in == 16 * vectors &&
      packing.tiling.segments == 1 && place.front() >= -vectors && place.back() < 2 * vectors)
    return vectors == 1 ? Lanes::kWholeRow : Lanes::kTwoOfWholeRow;
  if (packing.tiling.columns == 16) return apart == 1 ? Lanes::kNext : apart == 2 ? Lanes::kSecond : Lanes::kApart;
  return apart == 1 ? Lanes::kNextPart : Lanes::kApart;
}

// A row that is one segment of `Vectors` lines to those of its places: the lines to either side are those of the row, a
// lane further, with the zero beside it. That saves copying rows, and loads across the ends of cache lines.
template <int Vectors>
ESPALIER_INLINE void lines_of_whole_row(const float* row, const int64_t* place, int64_t places, float* to) {
  constexpr int kParts = 16 / kLanes<float>;
  Vec<float> line[Vectors][kParts];
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i) {
    const Vec<float> a = load<float>(row + Vectors * i * kLanes<float>);
    if constexpr (Vectors == 1) line[0][i] = a;
    else {
      const Vec<float> b = load<float>(row + (Vectors * i + 1) * kLanes<float>);
      line[0][i] = shuffle<float, EverySecond<float, 0>>(a, b);
      line[1][i] = shuffle<float, EverySecond<float, 1>>(a, b);
    }
  }
  const auto put = [&](int64_t at, int v, int64_t shift) {
    const Vec<float>(&from)[kParts] = line[v];
#pragma GCC unroll 4
    for (int i = 0; i < kParts; ++i) {
      const Vec<float> lanes =
          shift == 0  ? from[i]
          : shift < 0 ? shuffle<float, LaneBefore<float>>(i > 0 ? from[i - 1] : Vec<float>{}, from[i])
                      : shuffle<float, LaneBehind<float>>(from[i], i + 1 < kParts ? from[i + 1] : Vec<float>{});
      store<float>(to + at * 16 + i * kLanes<float>, lanes);
    }
  };
  // (Three taps around the output itself, by far the most frequent, without asking for each.)
  if (places == Vectors + 2 && place[0] == -1) {
    put(0, Vectors - 1, -1);
    for (int v = 0; v < Vectors; ++v) put(1 + v, v, 0);
    put(Vectors + 1, 0, 1);
    return;
  }
  for (int64_t q = 0; q < places; ++q)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      const int64_t away = place[q] - v;
      if (away == 0) put(q, v, 0);
      else if (away == -Vectors) put(q, v, -1);
      else if (away == Vectors) put(q, v, 1);
    }
}

// A row of a channel, with zeros around it, to the lines of its places. `row` is where its column 0 stands.
template <Lanes Kind>
ESPALIER_INLINE void lines_of_row(const float* row, const int64_t* place, int64_t places, int64_t segments,
                                  int64_t segment, int64_t columns, int64_t apart, float* to) {
  if constexpr (Kind == Lanes::kWholeRow) return lines_of_whole_row<1>(row, place, places, to);
  if constexpr (Kind == Lanes::kTwoOfWholeRow) return lines_of_whole_row<2>(row, place, places, to);
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
  constexpr bool kWhole = Kind == Lanes::kWholeRow || Kind == Lanes::kTwoOfWholeRow;
  for (int64_t from = 0; from < rows; from += at.rows) {
    const int64_t last = from + at.rows < rows ? from + at.rows : rows;
    float* copy = at.buffer + at.zero + at.begin;
    for (int64_t i = from; i < last && !kWhole; ++i, copy += at.pitch) {
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
      if (r < 0 || r >= height) {
        zero_lines(lines, tiling.columns, row_lines);
        continue;
      }
      // The next channel's row: the machine's own prefetching ends with a page, which planes seldom outgrow.
      for (int64_t j = 0; j < width; j += 16) __builtin_prefetch(x + (height + r) * width + j);
      lines_of_row<Kind>(kWhole ? x + r * width : row, right, places, tiling.segments, tiling.segment() * stride,
                         tiling.columns, tiling.vectors * stride, lines);
    }
  }
}

// The same where there is no room for rows with zeros around them.
inline void pack_bare_band(const Packing& packing, const float* x, int64_t first_row, float* to) {
  const int64_t row_lines = packing.tiling.segments * packing.right.count() * 16;
  for (const int64_t place : packing.down.place) {
    const int64_t row = first_row + place;
    if (row < 0 || row >= packing.rows.in) zero_lines(to, packing.tiling.columns, row_lines);
    else lines_of_bare_row(packing, x + row * packing.columns.in, to);
    to += row_lines;
  }
}

inline void pack_band(const Packing& packing, const Margins& margins, const float* x, int64_t first_row, float* to) {
  if (margins.buffer == nullptr) return pack_bare_band(packing, x, first_row, to);
  switch (lanes_of(packing)) {
    case Lanes::kWholeRow: return pack_band_of<Lanes::kWholeRow>(packing, margins, x, first_row, to);
    case Lanes::kTwoOfWholeRow: return pack_band_of<Lanes::kTwoOfWholeRow>(packing, margins, x, first_row, to);
    case Lanes::kNext: return pack_band_of<Lanes::kNext>(packing, margins, x, first_row, to);
    case Lanes::kSecond: return pack_band_of<Lanes::kSecond>(packing, margins, x, first_row, to);
    case Lanes::kNextPart: return pack_band_of<Lanes::kNextPart>(packing, margins, x, first_row, to);
    case Lanes::kApart: return pack_band_of<Lanes::kApart>(packing, margins, x, first_row, to);
  }
}

// One band of one channel where rows are full (see Packing), of `Vectors` lines.
template <int Vectors>
inline void pack_full_rows(const Packing& packing, const float* x, int64_t first_row, float* to) {
  const int64_t height = packing.rows.in, count = packing.down.count();
  const int64_t* const down = packing.down.place.data();
  for (int64_t i = 0; i < count; ++i, to += Vectors * 16) {
    const int64_t r = first_row + down[i];
    if (r < 0 || r >= height) {
      zero_lines(to, 16, Vectors * 16);
      continue;
    }
    const float* const row = x + r * Vectors * 16;
    // A page ahead: the machine's own prefetching ends with a page.
    for (int v = 0; v < Vectors; ++v) __builtin_prefetch(row + 1024 + 16 * v);
#pragma GCC unroll 4
    for (int j = 0; j < 16; j += kLanes<float>) {
      const Vec<float> a = load<float>(row + Vectors * j);
      if constexpr (Vectors == 1) store<float>(to + j, a);
      else {
        const Vec<float> b = load<float>(row + 2 * j + kLanes<float>);
        store<float>(to + j, shuffle<float, EverySecond<float, 0>>(a, b));
        store<float>(to + 16 + j, shuffle<float, EverySecond<float, 1>>(a, b));
      }
    }
  }
}

inline void pack_full_band(const Packing& packing, const float* x, int64_t first_row, float* to) {
  if (packing.tiling.vectors == 1) pack_full_rows<1>(packing, x, first_row, to);
  else pack_full_rows<2>(packing, x, first_row, to);
}

// Lines of a row to where their outputs stand, `there` of them, `step` apart from one another.
ESPALIER_INLINE void row_of_lines(const float* from, int64_t pitch, int64_t columns, int64_t vectors, int64_t there,
                                  int64_t step, float* y) {
  if (step == 1 && vectors == 1) {
    if (there >= columns) line_next_to(from, columns, y);
    else
      for (int64_t c = 0; c < there; ++c) y[c] = from[c];
  } else if (step == 1 && vectors == 2 && columns == 16) {
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += kLanes<float>) {
      const Vec<float> a = load<float>(from + i), b = load<float>(from + pitch + i);
      const Vec<float> both[2] = {shuffle<float, Interleaved<float, 0>>(a, b),
                                  shuffle<float, Interleaved<float, 1>>(a, b)};
      for (int half = 0; half < 2; ++half) {
        const int64_t at = 2 * i + half * kLanes<float>;
        if (at + kLanes<float> <= there) store<float>(y + at, both[half]);
        else if (at < there) store_first<float>(y + at, both[half], there - at);
      }
    }
  } else if (step == 2 && vectors == 1 && columns == 16) {
    // What lies between stays as it is: it is the other phase's. What lies behind the last may be the next row's.
    const int64_t floats = 2 * (there < 16 ? there : 16) - 1;
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += kLanes<float>) {
      const Vec<float> lanes = load<float>(from + i);
      for (int half = 0; half < 2; ++half) {
        float* const to = y + 2 * i + half * kLanes<float>;
        const int64_t left = floats - 2 * i - half * kLanes<float>, count = left < kLanes<float> ? left : kLanes<float>;
        if (count <= 0) break;
        const Vec<float> old = load_first<float>(to, count);
        store_first<float>(
            to,
            half == 0 ? shuffle<float, Between<float, 0>>(lanes, old) : shuffle<float, Between<float, 1>>(lanes, old),
            count);
      }
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

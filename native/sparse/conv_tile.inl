#include "simd/transpose.inl"

inline void tile_lanes(int64_t& lanes) { lanes = kLanes<float>; }

// The lanes of two vectors from the first one's last, or its second, on.
struct OneBefore {
  static constexpr int at(int i) { return kLanes<float> - 1 + i; }
};
struct OneBehind {
  static constexpr int at(int i) { return 1 + i; }
};

// The same of each piece of four lanes: a0 a2 b0 b2 (0) or a1 a3 b1 b3 (1); a0 b0 a1 b1 (0) or a2 b2 a3 b3 (1).
template <int From>
struct PairsApart {
  static constexpr int at(int i) { return i / 4 * 4 + i % 2 * 2 + From + i % 4 / 2 * kLanes<float>; }
};

// V · lanes floats to V lines, lane i of line v being number v + V·i; and back. Pieces of four are put where they
// belong by loads and stores, so that nothing moves from one piece to another in registers.
template <int V>
ESPALIER_INLINE void part_lines(const float* row, Vec<float> (&to)[V]) {
  if constexpr (V == 4) load_columns(row, 4, to);
  else if constexpr (V == 2) {
    const Vec<float> a = Pieces<kLanes<float>>::load(row, 2), b = Pieces<kLanes<float>>::load(row + 4, 2);
    to[0] = shuffle<float, PairsApart<0>>(a, b);
    to[1] = shuffle<float, PairsApart<1>>(a, b);
  } else to[0] = load<float>(row);
}
ESPALIER_INLINE void store_pieces(float* to, Vec<float> v, int64_t apart) {
  typename Pieces<4>::type pieces[kLanes<float> / 4];
  std::memcpy(pieces, &v, sizeof v);
#pragma GCC unroll 4
  for (int i = 0; i < kLanes<float> / 4; ++i)
    *reinterpret_cast<typename Pieces<4>::unaligned*>(to + i * apart) = pieces[i];
}
template <int V>
ESPALIER_INLINE void join_lines(const Vec<float> (&of)[V], float* row) {
  if constexpr (V == 4) {
    const Vec<float> low01 = shuffle<float, Singles<0>>(of[0], of[1]),
                     high01 = shuffle<float, Singles<1>>(of[0], of[1]);
    const Vec<float> low23 = shuffle<float, Singles<0>>(of[2], of[3]),
                     high23 = shuffle<float, Singles<1>>(of[2], of[3]);
    store_pieces(row, shuffle<float, Doubles<0>>(low01, low23), 16);
    store_pieces(row + 4, shuffle<float, Doubles<1>>(low01, low23), 16);
    store_pieces(row + 8, shuffle<float, Doubles<0>>(high01, high23), 16);
    store_pieces(row + 12, shuffle<float, Doubles<1>>(high01, high23), 16);
  } else if constexpr (V == 2) {
    store_pieces(row, shuffle<float, Singles<0>>(of[0], of[1]), 8);
    store_pieces(row + 4, shuffle<float, Singles<1>>(of[0], of[1]), 8);
  } else store<float>(row, of[0]);
}

// The same of the columns of a row from `first` on, zeros beyond its end; `end` is that of the array.
template <int V>
ESPALIER_INLINE void lines_of_piece(const float* row, int64_t first, int64_t width, const float* end,
                                    Vec<float> (&to)[V]) {
  constexpr int kLane = kLanes<float>;
  const int64_t there = width - first;
  if (there >= V * kLane) return part_lines<V>(row + first, to);
  if (there <= 0 || end - row < first + V * kLane) {
    float whole[V * kLane] = {};
    if (there > 0) std::copy_n(row + first, there, whole);
    return part_lines<V>(whole, to);
  }
  // (Copying a row's last floats one by one, or calling for it, takes as long as all the rest.)
  part_lines<V>(row + first, to);
  Vec<float> column;
  for (int i = 0; i < kLane; ++i) column[i] = static_cast<float>(V * i);
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) to[v] = column < broadcast(static_cast<float>(there - v)) ? to[v] : Vec<float>{};
}

// A row to the lines of its places, of taps that reach less than V columns beyond the segment's on either side: the
// segment's own lines, moved on by a lane that one float of the row fills.
template <int V>
ESPALIER_INLINE void near_lines(const float* row, int64_t first, int64_t width, const float* end, const int64_t* place,
                                int64_t places, float* to) {
  constexpr int kLane = kLanes<float>;
  Vec<float> line[V];
  lines_of_piece<V>(row, first, width, end, line);
  const auto beside = [&](int64_t column) { return broadcast(column >= 0 && column < width ? row[column] : 0.0f); };
  for (int64_t q = 0; q < places; ++q, to += kLane)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int64_t away = place[q] - v;
      if (away == 0) store<float>(to, line[v]);
      else if (away == -V) store<float>(to, shuffle<float, OneBefore>(beside(first + place[q]), line[v]));
      else if (away == V)
        store<float>(to, shuffle<float, OneBehind>(line[v], beside(first + place[q] + V * (kLane - 1))));
    }
}
// The same for the row itself alone, and for taps a column to either side: without asking for each.
template <int V>
ESPALIER_INLINE void lines_of_itself(const float* row, int64_t first, int64_t width, const float* end, float* to) {
  Vec<float> line[V];
  lines_of_piece<V>(row, first, width, end, line);
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store<float>(to + v * kLanes<float>, line[v]);
}
template <int V>
ESPALIER_INLINE void lines_of_three(const float* row, int64_t first, int64_t width, const float* end, float* to) {
  constexpr int kLane = kLanes<float>;
  Vec<float> line[V];
  lines_of_piece<V>(row, first, width, end, line);
  const int64_t behind = first + V * kLane;
  const Vec<float> left = broadcast(first > 0 && first <= width ? row[first - 1] : 0.0f);
  const Vec<float> right = broadcast(behind < width ? row[behind] : 0.0f);
  store<float>(to, shuffle<float, OneBefore>(left, line[V - 1]));
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store<float>(to + (1 + v) * kLane, line[v]);
  store<float>(to + (V + 1) * kLane, shuffle<float, OneBehind>(line[0], right));
}

// The same for any places and strides: lane i of place q is column first + place[q] + i·apart.
inline void any_lines(const float* row, int64_t first, int64_t width, const int64_t* place, int64_t places,
                      int64_t apart, float* to) {
  constexpr int kLane = kLanes<float>;
  for (int64_t q = 0; q < places; ++q, to += kLane) {
    const int64_t at = first + place[q];
    if (apart == 1 && at >= 0 && at + kLane <= width) store<float>(to, load<float>(row + at));
    else if (apart == 2 && at >= 0 && at + 2 * kLane <= width) {
      Vec<float> of_two[2];
      part_lines<2>(row + at, of_two);
      store<float>(to, of_two[0]);
    } else
      for (int i = 0; i < kLane; ++i) {
        const int64_t column = at + i * apart;
        to[i] = column >= 0 && column < width ? row[column] : 0.0f;
      }
  }
}

// Rows of the channels from `first_row` on. What the next tile will read beside is asked for.
template <int V, TileReach Reach>
void pack_tile_channels(const TileRows& of, const int32_t* channels, int64_t count, const float* x, int64_t first_row,
                        int64_t first, const TileAhead& ahead, const float* end, float* to) {
  const TileRows by = of;
  for (int64_t c = 0; c < count; ++c) {
    const float* const plane = x + channels[c] * by.height * by.width;
    for (int64_t i = 0; i < ahead.floats; i += 16) __builtin_prefetch(plane + ahead.from + i, 0, 2);
    for (int64_t i = 0; i < by.rows; ++i, to += by.places * kLanes<float>) {
      const int64_t r = first_row + by.down[i];
      const float* const row = plane + r * by.width;
      if (r < 0 || r >= by.height)
        for (int64_t q = 0; q < by.places; ++q) store<float>(to + q * kLanes<float>, in_register<float>(Vec<float>{}));
      else if constexpr (Reach == TileReach::kItself) lines_of_itself<V>(row, first, by.width, end, to);
      else if constexpr (Reach == TileReach::kThree) lines_of_three<V>(row, first, by.width, end, to);
      else if constexpr (Reach == TileReach::kNear) near_lines<V>(row, first, by.width, end, by.right, by.places, to);
      else any_lines(row, first, by.width, by.right, by.places, V * by.apart, to);
    }
  }
}

template <int V>
ESPALIER_INLINE void pack_by(const TileRows& by, const int32_t* channels, int64_t count, const float* x,
                             int64_t first_row, int64_t first, const TileAhead& ahead, const float* end, float* to) {
  switch (by.reach) {
    case TileReach::kItself:
      return pack_tile_channels<V, TileReach::kItself>(by, channels, count, x, first_row, first, ahead, end, to);
    case TileReach::kThree:
      return pack_tile_channels<V, TileReach::kThree>(by, channels, count, x, first_row, first, ahead, end, to);
    case TileReach::kNear:
      return pack_tile_channels<V, TileReach::kNear>(by, channels, count, x, first_row, first, ahead, end, to);
    case TileReach::kAny:
      return pack_tile_channels<V, TileReach::kAny>(by, channels, count, x, first_row, first, ahead, end, to);
  }
}
inline void pack_tile(const TileRows& by, const int32_t* channels, int64_t count, const float* x, int64_t first_row,
                      int64_t first, const TileAhead& ahead, const float* end, float* to) {
  if (by.vectors == 4) pack_by<4>(by, channels, count, x, first_row, first, ahead, end, to);
  else if (by.vectors == 2) pack_by<2>(by, channels, count, x, first_row, first, ahead, end, to);
  else pack_by<1>(by, channels, count, x, first_row, first, ahead, end, to);
}

// One output channel's weights in a block of input channels. Operands are read where they stand: most are used by one
// channel alone of those that registers would have room for.
template <int R, int V>
ESPALIER_INLINE void run_of_tile(const TileRun& run, const int32_t* place, const float* values, const float* x,
                                 int64_t row_step, float start, const float* floor, float* sums, const TileTarget& to) {
  constexpr int kLane = kLanes<float>;
  Vec<float> sum[R][V];
  const float* from[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    from[r] = x + r * row_step;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sum[r][v] = run.starts ? broadcast(start) : load<float>(sums + (r * V + v) * kLane);
  }
  const auto add = [&](int64_t e) {
    const Vec<float> by = in_register<float>(broadcast(values[e]));
    const int64_t at = place[e];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[r][v] = fma<float>(by, load<float>(from[r] + at + v * kLane), sum[r][v]);
  };
  for (int64_t e = run.first, end = run.first + run.count; e < end; ++e) add(e);
  if (!run.ends) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) store<float>(sums + (r * V + v) * kLane, sum[r][v]);
    return;
  }
  if (floor != nullptr) {
    const Vec<float> least = broadcast(*floor);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[r][v] = sum[r][v] < least ? least : sum[r][v];
  }
  float* y = to.y + run.channel * to.plane;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r, y += to.width) {
    // What a vector has beyond a row's end the next row overwrites, where that is the tile's too.
    if (to.columns >= V * kLane || (r + 1 < R && to.columns == to.width && V * kLane <= 2 * to.width)) {
      join_lines<V>(sum[r], y);
      continue;
    }
    float whole[V * kLane];
    join_lines<V>(sum[r], whole);
    std::copy_n(whole, to.columns, y);
  }
}

template <int R, int V>
void runs_of_tile(const TileRun* runs, int64_t count, const int32_t* place, const float* values, const float* x,
                  int64_t row_step, const float* bias, const float* floor, float* sums, const TileTarget& to) {
  for (int64_t i = 0; i < count; ++i)
    run_of_tile<R, V>(runs[i], place, values, x, row_step, bias == nullptr ? 0.0f : bias[runs[i].channel], floor,
                      sums + runs[i].channel * int64_t{kMostTileVectors * kLanes<float>}, to);
}

// What entries add up, a vector each, until there are enough for adding up the lanes of several together.
struct GradLanes {
  static constexpr int64_t kMost = 64;
  alignas(64) float lanes[kMost * kLanes<float>];
  int64_t first;  // entry
  float* values;

  float* of(int64_t entry) { return lanes + (entry - first) * kLanes<float>; }
  // values[e] += the lanes of e, up to `end`.
  ESPALIER_INLINE void add_up(int64_t end) {
    constexpr int kLane = kLanes<float>;
    for (int64_t e = end; (e - first) % kLane != 0; ++e) store<float>(of(e), in_register<float>(Vec<float>{}));
    for (int64_t e = first; e < end; e += kLane) {
      Vec<float> some[kLane];
#pragma GCC unroll 16
      for (int i = 0; i < kLane; ++i) some[i] = load<float>(of(e + i));
      // (What lies behind the last is a later entry's: nothing is added to it.)
      store<float>(values + e, load<float>(values + e) + sum_lanes_of_all(some));
    }
    first = end;
  }
};

// Σ of dy · x at the places of a run's entries.
template <int R, int V>
ESPALIER_INLINE void grad_of_run(const TileRun& run, const int32_t* place, const float* x, int64_t row_step,
                                 const float* dy, GradLanes& to) {
  constexpr int kLane = kLanes<float>;
  for (int64_t e = run.first, end = run.first + run.count; e < end;) {
    Vec<float> by[R][V];
    const float* from[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      from[r] = x + r * row_step;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) by[r][v] = in_register<float>(load<float>(dy + (r * V + v) * kLane));
    }
    const int64_t stop = std::min(end, to.first + GradLanes::kMost);
    float* lanes = to.of(e);
    for (; e < stop; ++e, lanes += kLane) {
      const int64_t at = place[e];
      Vec<float> sum[2] = {};
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const int i = r * V + v;
          const Vec<float> one = load<float>(from[r] + at + v * kLane);
          sum[i % 2] = i < 2 ? by[r][v] * one : fma<float>(by[r][v], one, sum[i % 2]);
        }
      store<float>(lanes, sum[0] + sum[1]);
    }
    if (e == to.first + GradLanes::kMost) to.add_up(e);
  }
}
template <int R, int V>
void grads_of_runs(const TileRun* runs, int64_t count, const int32_t* place, const float* x, int64_t row_step,
                   const float* dy, int64_t dy_channel, float* values) {
  GradLanes lanes;
  lanes.values = values;
  lanes.first = count == 0 ? 0 : runs[0].first;
  // (Channels that keep nothing come last.)
  int64_t end = lanes.first;
  for (int64_t i = 0; i < count && runs[i].count > 0; ++i, end = runs[i - 1].first + runs[i - 1].count)
    grad_of_run<R, V>(runs[i], place, x, row_step, dy + runs[i].channel * dy_channel, lanes);
  lanes.add_up(end);
}

// Calls body.template operator()<R, V>() of a tile's size.
template <int V, int R, class Body>
ESPALIER_INLINE void with_rows(int64_t rows, const Body& body) {
  if constexpr (R > 1) {
    if (rows < R) return with_rows<V, R - 1>(rows, body);
  }
  body.template operator()<R, V>();
}
template <class Body>
ESPALIER_INLINE void with_size(int64_t rows, int64_t vectors, const Body& body) {
  if (vectors == 4) with_rows<4, kMostTileVectors / 4>(rows, body);
  else if (vectors == 2) with_rows<2, kMostTileVectors / 2>(rows, body);
  else with_rows<1, kMostTileRows>(rows, body);
}

inline void run_tile(int64_t rows, int64_t vectors, const TileRun* runs, int64_t count, const int32_t* place,
                     const float* values, const float* x, int64_t row_step, const float* bias, const float* floor,
                     float* sums, const TileTarget& to) {
  with_size(rows, vectors, [&]<int R, int V>() {
    runs_of_tile<R, V>(runs, count, place, values, x, row_step, bias, floor, sums, to);
  });
}
inline void grad_tile(int64_t rows, int64_t vectors, const TileRun* runs, int64_t count, const int32_t* place,
                      const float* x, int64_t row_step, const float* dy, int64_t dy_channel, float* values) {
  with_size(rows, vectors,
            [&]<int R, int V>() { grads_of_runs<R, V>(runs, count, place, x, row_step, dy, dy_channel, values); });
}

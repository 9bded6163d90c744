template <class T>
void all_finite(const T* x, int64_t n, bool* finite) {
  // Of what is not finite, the difference with itself is NaN.
  Vec<T> none{};
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) none += load<T>(x + i) - load<T>(x + i);
  const Vec<T> end = load_first<T>(x + i, n - i);
  none += end - end;
  *finite = sum_lanes<T>(none) == 0;
}

// A row in units of a code, brought to a whole number of vectors by zeros.
template <class T>
struct Units {
  T* x;
  int64_t n;

  explicit Units(int64_t fan_in)
      : x(scratch<T>(Scratch::kOther, fan_in + kLanes<T>)), n((fan_in + kLanes<T> - 1) / kLanes<T> * kLanes<T>) {}

  void read(const T* v, const T* mask, int64_t fan_in, T scale) const {
    for (int64_t i = 0; i < n; i += kLanes<T>) {
      const int64_t lanes = std::min<int64_t>(kLanes<T>, fan_in - i);
      Vec<T> own = load_first<T>(v + i, lanes) / scale;
      if (mask != nullptr) own = load_first<T>(mask + i, lanes) != Vec<T>{} ? own : Vec<T>{};
      store<T>(x + i, own);
    }
  }
  T largest_magnitude() const {
    Vec<T> most{};
    for (int64_t i = 0; i < n; i += kLanes<T>) most = max<T>(most, abs<T>(load<T>(x + i)));
    return max_lanes<T>(most);
  }
};

// Magnitudes of the codes of one sign at a threshold: clamp(round(±x − threshold), 0, largest). It falls as the
// threshold rises, in every entry, however ±x − threshold is rounded.
template <class T>
ESPALIER_INLINE Vec<T> code_magnitudes(Vec<T> x, T sign, T threshold, T largest) {
  const Vec<T> nearest = round_even<T>(x * sign - threshold);
  return min<T>(max<T>(nearest, Vec<T>{}), broadcast<T>(largest));
}

template <class T>
int64_t sum_of_codes(const Units<T>& row, T sign, T threshold, T largest) {
  // Up to 2^15 each: so many add up exactly in float32.
  constexpr int64_t kPiece = 256 * kLanes<T>;
  int64_t total = 0;
  for (int64_t begin = 0; begin < row.n; begin += kPiece) {
    Vec<T> sum{};
    for (int64_t i = begin; i < std::min(row.n, begin + kPiece); i += kLanes<T>)
      sum += code_magnitudes<T>(load<T>(row.x + i), sign, threshold, largest);
    for (int lane = 0; lane < kLanes<T>; ++lane) total += static_cast<int64_t>(sum[lane]);
  }
  return total;
}

// The codes of one sign: those at `threshold`, and of the units that they are fewer by than those at `before`
// so many more, lower indices first.
template <class T>
struct Settled {
  T threshold, before;
  int64_t more, sum;  // sum: all of them
};

// The most of one sign that a budget allows, at a threshold of at most `high`, where they fit. Between `before`
// and `threshold` then lies no number, or all of the budget is spent.
template <class T>
Settled<T> settle(const Units<T>& row, T sign, T high, T largest, int64_t budget) {
  const int64_t wanted = sum_of_codes<T>(row, sign, T{0}, largest);
  if (wanted <= budget) return {T{0}, T{0}, 0, wanted};
  T low = 0;
  int64_t held = sum_of_codes<T>(row, sign, high, largest);
  while (held < budget) {
    const T middle = low + (high - low) / 2;
    if (!(low < middle && middle < high)) break;
    const int64_t sum = sum_of_codes<T>(row, sign, middle, largest);
    if (sum <= budget) {
      high = middle;
      held = sum;
    } else {
      low = middle;
    }
  }
  return {high, low, budget - held, budget};
}

// The codes of both signs where every weight counts at both ends.
template <class T>
void settle_together(const Units<T>& row, T high, T largest, const quant::Room& room, Settled<T>* up,
                     Settled<T>* down) {
  const auto sum = [&](T sign, T threshold) { return sum_of_codes<T>(row, sign, threshold, largest); };
  int64_t p = sum(T{1}, T{0}), n = sum(T{-1}, T{0});
  *up = {T{0}, T{0}, 0, p};
  *down = {T{0}, T{0}, 0, n};
  if (room.fits(p, n)) return;

  // First the least threshold for both.
  T low = 0;
  int64_t too_many = p + n, held = sum(T{1}, high) + sum(T{-1}, high);
  while (too_many - held > 1) {
    const T middle = low + (high - low) / 2;
    if (!(low < middle && middle < high)) break;
    p = sum(T{1}, middle);
    n = sum(T{-1}, middle);
    if (room.fits(p, n)) {
      high = middle;
      held = p + n;
    } else {
      low = middle;
      too_many = p + n;
    }
  }
  // Then the units just below it, those of positive weights first.
  const auto take = [&](T sign, int64_t budget) -> Settled<T> {
    const int64_t all = sum(sign, low);
    if (all <= budget) return {low, low, 0, all};
    return {high, low, budget - sum(sign, high), budget};
  };
  *up = take(T{1}, room.positive(sum(T{-1}, high)));
  *down = take(T{-1}, room.negative(up->sum));
  // Last what only one sign has room for.
  if (up->more == 0) *up = settle<T>(row, T{1}, up->threshold, largest, room.positive(down->sum));
  if (down->more == 0) *down = settle<T>(row, T{-1}, down->threshold, largest, room.negative(up->sum));
}

// Spends what is left of a budget on units that only just missed it.
template <class T>
void spend(const Units<T>& row, T sign, T largest, const Settled<T>& settled, int64_t fan_in, T* codes) {
  int64_t rest = settled.more;
  for (int64_t i = 0; rest > 0 && i < fan_in; ++i) {
    const auto code = [&](T threshold) {
      return std::min(largest, std::max(T{0}, std::nearbyint(row.x[i] * sign - threshold)));
    };
    const int64_t units = std::min(rest, static_cast<int64_t>(code(settled.before) - code(settled.threshold)));
    codes[i] += sign * static_cast<T>(units);
    rest -= units;
  }
}

template <class T>
void budget_codes(const quant::Budgeted<T>& weights, int64_t begin, int64_t end, T* codes) {
  const int64_t fan_in = weights.fan_in;
  const T largest = static_cast<T>(weights.largest);
  const Units<T> row(fan_in);
  for (int64_t r = begin; r < end; ++r) {
    row.read(weights.v + r * fan_in, nullptr, fan_in, weights.scale == nullptr ? T{1} : weights.scale[r]);
    const quant::Room room = weights.room(r);
    const T most = row.largest_magnitude();
    Settled<T> up, down;
    if (room.apart()) {
      up = settle<T>(row, T{1}, most, largest, room.positive(0));
      down = settle<T>(row, T{-1}, most, largest, room.negative(0));
    } else {
      settle_together<T>(row, most, largest, room, &up, &down);
    }
    T* const out = codes + r * fan_in;
    for (int64_t i = 0; i < row.n; i += kLanes<T>) {
      const Vec<T> x = load<T>(row.x + i);
      const Vec<T> both =
          code_magnitudes<T>(x, T{1}, up.threshold, largest) - code_magnitudes<T>(x, T{-1}, down.threshold, largest);
      store_first<T>(out + i, both, std::min<int64_t>(kLanes<T>, fan_in - i));
    }
    spend<T>(row, T{1}, largest, up, fan_in, out);
    spend<T>(row, T{-1}, largest, down, fan_in, out);
  }
}

// The least amount ≥ 0 by which magnitudes must shrink so that those of positive entries, times `positive`, and
// those of negative ones, times `negative`, add up to at most `most`: Newton's method on a function that is
// convex and of straight pieces, which ends on the right piece after few steps.
template <class T>
T shrinkage(const Units<T>& row, T positive, T negative, T most) {
  T amount = 0;
  for (;;) {
    Vec<T> sums{}, counts{};
    for (int64_t i = 0; i < row.n; i += kLanes<T>) {
      const Vec<T> x = load<T>(row.x + i), magnitude = abs<T>(x);
      const Vec<T> factor = x > Vec<T>{} ? broadcast<T>(positive) : broadcast<T>(negative);
      const Vec<T> taking_part = magnitude > broadcast<T>(amount) ? factor : Vec<T>{};
      sums += taking_part * magnitude;
      counts += taking_part;
    }
    const T count = sum_lanes<T>(counts);
    if (!(count > 0)) return amount;
    const T next = (sum_lanes<T>(sums) - most) / count;
    if (!(next > amount)) return amount;
    amount = next;
  }
}

template <class T>
void budget_project(const quant::Budgeted<T>& weights, const T* mask, int64_t begin, int64_t end, T* y) {
  const int64_t fan_in = weights.fan_in;
  const T reach = static_cast<T>(weights.largest) + T{0.49};
  const Units<T> row(fan_in);
  for (int64_t r = begin; r < end; ++r) {
    const T scale = weights.scale == nullptr ? T{1} : weights.scale[r];
    const T* const v = weights.v + r * fan_in;
    row.read(v, mask == nullptr ? nullptr : mask + r * fan_in, fan_in, scale);
    for (int64_t i = 0; i < row.n; i += kLanes<T>)
      store<T>(row.x + i, max<T>(min<T>(load<T>(row.x + i), broadcast<T>(reach)), broadcast<T>(-reach)));

    const quant::Room room = weights.room(r);
    const T high = static_cast<T>(room.high), low = static_cast<T>(room.low);
    T up = shrinkage<T>(row, high, low, static_cast<T>(room.above - room.above % room.step()));
    T down = shrinkage<T>(row, low, high, static_cast<T>(room.below - room.below % room.step()));
    if (!room.apart()) up = down = std::max(up, down);
    else if (room.high == 0) std::swap(up, down);

    T* const out = y + r * fan_in;
    for (int64_t i = 0; i < row.n; i += kLanes<T>) {
      const int64_t lanes = std::min<int64_t>(kLanes<T>, fan_in - i);
      const Vec<T> own = load_first<T>(v + i, lanes), x = load<T>(row.x + i);
      const Vec<T> amount = x > Vec<T>{} ? broadcast<T>(up) : broadcast<T>(down);
      const Vec<T> magnitude = max<T>(abs<T>(x) - amount, Vec<T>{}) * scale;
      const Vec<T> moved = x > Vec<T>{} ? magnitude : -magnitude;
      // What need not move keeps every bit, and so does what a mask closes.
      const Mask<T> inside = (amount == Vec<T>{}) & (abs<T>(own / scale) <= broadcast<T>(reach));
      Vec<T> result = inside ? own : moved;
      if (mask != nullptr) result = load_first<T>(mask + r * fan_in + i, lanes) != Vec<T>{} ? result : own;
      store_first<T>(out + i, result, lanes);
    }
  }
}

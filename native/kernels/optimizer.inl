// Reads and writes whole vectors, or the first few lanes of the last one.
template <class T>
struct WholeVector {
  ESPALIER_INLINE Vec<T> get(const T* p) const { return load<T>(p); }
  ESPALIER_INLINE void put(T* p, Vec<T> v) const { store<T>(p, v); }
};
template <class T>
struct PartVector {
  int64_t lanes;
  ESPALIER_INLINE Vec<T> get(const T* p) const { return load_first<T>(p, lanes); }
  ESPALIER_INLINE void put(T* p, Vec<T> v) const { store_first<T>(p, v, lanes); }
};

// Calls rule(at, i) for each vector of n elements, i its first; the rule reaches memory through `at`.
template <class T, class Rule>
ESPALIER_INLINE void each_vector(int64_t n, const Rule& rule) {
  parallel_ranges(n, kOptimizerGrain, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) rule(WholeVector<T>{}, i);
    if (i < end) rule(PartVector<T>{end - i}, i);
  });
}

// One vector of an update under way: what was read, and how results go back.
template <class T, class At>
struct Site {
  const kernels::Update<T>& update;
  const At& at;
  int64_t i;
  Vec<T> parameter, gradient;
  Mask<T> held;

  ESPALIER_INLINE Site(const kernels::Update<T>& update, const At& at, int64_t i, T decay)
      : update(update), at(at), i(i) {
    parameter = at.get(update.parameter + i);
    gradient = at.get(update.gradient + i);
    if (update.maximize) gradient = -gradient;
    held = Mask<T>{};
    if (update.mask != nullptr) {
      const Vec<T> mask = at.get(update.mask + i);
      if (update.freeze) held = mask == Vec<T>{};
      else gradient *= mask;
    }
    if (decay != 0) gradient = fma<T>(broadcast<T>(decay), parameter, gradient);
  }

  ESPALIER_INLINE Vec<T> get(const T* state) const { return at.get(state + i); }
  // Writes what became of `old`, unless the mask holds it.
  ESPALIER_INLINE void put(T* array, Vec<T> old, Vec<T> fresh) const { at.put(array + i, held ? old : fresh); }
};

template <class T>
void sgd_step(const kernels::SgdStep<T>& s) {
  const T lr = static_cast<T>(s.lr), momentum = static_cast<T>(s.momentum), share = static_cast<T>(1 - s.dampening);
  const T decay = static_cast<T>(s.weight_decay);
  each_vector<T>(s.n, [&](const auto& at, int64_t i) {
    const Site<T, std::decay_t<decltype(at)>> here(s, at, i, decay);
    Vec<T> move = here.gradient;
    if (s.velocity != nullptr) {
      const Vec<T> before = here.get(s.velocity);
      Vec<T> velocity = move;
      if (!s.first) velocity = fma<T>(broadcast<T>(momentum), before, move * share);
      here.put(s.velocity, before, velocity);
      move = s.nesterov ? fma<T>(broadcast<T>(momentum), velocity, move) : velocity;
    }
    here.put(s.parameter, here.parameter, fma<T>(broadcast<T>(-lr), move, here.parameter));
  });
}

template <class T>
void adam_step(const kernels::AdamStep<T>& s) {
  // Corrections in float64: 1 − β₂^t loses its digits in float32.
  const double steps = static_cast<double>(s.step);
  const T rate = static_cast<T>(s.lr / (1 - std::pow(s.beta1, steps)));
  const T root_scale = static_cast<T>(1 / std::sqrt(1 - std::pow(s.beta2, steps)));
  const T beta1 = static_cast<T>(s.beta1), rest1 = static_cast<T>(1 - s.beta1);
  const T beta2 = static_cast<T>(s.beta2), rest2 = static_cast<T>(1 - s.beta2);
  const T eps = static_cast<T>(s.eps);
  const T decay = s.decoupled ? T{0} : static_cast<T>(s.weight_decay);
  const T kept = s.decoupled ? static_cast<T>(1 - s.lr * s.weight_decay) : T{1};
  each_vector<T>(s.n, [&](const auto& at, int64_t i) {
    const Site<T, std::decay_t<decltype(at)>> here(s, at, i, decay);
    const Vec<T> g = here.gradient;
    const Vec<T> mean_before = here.get(s.mean), square_before = here.get(s.square);
    const Vec<T> mean = fma<T>(mean_before, broadcast<T>(beta1), g * rest1);
    Vec<T> square = fma<T>(square_before, broadcast<T>(beta2), g * g * rest2);
    here.put(s.mean, mean_before, mean);
    here.put(s.square, square_before, square);
    if (s.largest != nullptr) {
      const Vec<T> before = here.get(s.largest);
      square = before > square ? before : square;
      here.put(s.largest, before, square);
    }
    const Vec<T> root = fma<T>(sqrt<T>(square), broadcast<T>(root_scale), broadcast<T>(eps));
    const Vec<T> parameter = here.parameter * kept - mean * rate / root;
    here.put(s.parameter, here.parameter, parameter);
  });
}

template <class T>
void rmsprop_step(const kernels::RmspropStep<T>& s) {
  const T lr = static_cast<T>(s.lr), eps = static_cast<T>(s.eps), momentum = static_cast<T>(s.momentum);
  const T alpha = static_cast<T>(s.alpha), rest = static_cast<T>(1 - s.alpha), decay = static_cast<T>(s.weight_decay);
  each_vector<T>(s.n, [&](const auto& at, int64_t i) {
    const Site<T, std::decay_t<decltype(at)>> here(s, at, i, decay);
    const Vec<T> g = here.gradient;
    const Vec<T> square_before = here.get(s.square);
    const Vec<T> square = fma<T>(square_before, broadcast<T>(alpha), g * g * rest);
    here.put(s.square, square_before, square);
    Vec<T> spread = square;
    if (s.mean != nullptr) {
      const Vec<T> before = here.get(s.mean);
      const Vec<T> mean = fma<T>(before, broadcast<T>(alpha), g * rest);
      here.put(s.mean, before, mean);
      // A variance; rounding may leave it just below 0, where its root would be NaN.
      spread = square - mean * mean;
      spread = spread < Vec<T>{} ? Vec<T>{} : spread;
    }
    Vec<T> move = g / (sqrt<T>(spread) + eps);
    if (s.velocity != nullptr) {
      const Vec<T> before = here.get(s.velocity);
      move = fma<T>(broadcast<T>(momentum), before, move);
      here.put(s.velocity, before, move);
    }
    here.put(s.parameter, here.parameter, fma<T>(broadcast<T>(-lr), move, here.parameter));
  });
}

template <class T>
void scale_gradient(const T* x, double factor, T* y, int64_t n) {
  each_vector<T>(n, [=, f = static_cast<T>(factor)](const auto& at, int64_t i) { at.put(y + i, at.get(x + i) * f); });
}

template <class T>
void clamp_gradient(const T* x, double limit, T* y, int64_t n) {
  each_vector<T>(n, [=, f = static_cast<T>(limit)](const auto& at, int64_t i) {
    Vec<T> v = at.get(x + i);
    v = v > broadcast<T>(f) ? broadcast<T>(f) : v;
    v = v < broadcast<T>(-f) ? broadcast<T>(-f) : v;
    at.put(y + i, v);
  });
}

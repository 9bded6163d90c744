// y[i] = function(x[i], …) over a piece of arrays.
template <class T, class Function, class... In>
ESPALIER_INLINE void map_piece(int64_t begin, int64_t end, Function function, T* y, const In*... x) {
  int64_t i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) store<T>(y + i, function(load<T>(x + i)...));
  if (i < end) store_first<T>(y + i, function(load_first<T>(x + i, end - i)...), end - i);
}

template <class T, class Function, class... In>
ESPALIER_INLINE void map(int64_t n, Function function, T* y, const In*... x) {
  parallel_ranges(n, kElementGrain, [=](int64_t begin, int64_t end) { map_piece<T>(begin, end, function, y, x...); });
}

// Each function of one number beside its gradient: value(x), and slope(x, y) with y = value(x).
// The forms that keep NaN: max(0, x) is x where x is NaN, max(x, 0) is not.

template <class T>
struct Relu {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return max<T>(Vec<T>{}, x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return x > 0 ? g : Vec<T>{}; }
};
template <class T>
struct LeakyRelu {
  T slope;
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x > 0 ? x : x * slope; }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return x > 0 ? g : g * slope; }
};
template <class T>
struct Exp {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return exp<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T> y, Vec<T> g) const { return g * y; }
};
template <class T>
struct Sigmoid {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return sigmoid<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T> y, Vec<T> g) const { return g * y * (1 - y); }
};
template <class T>
struct Tanh {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return tanh<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T> y, Vec<T> g) const { return g * (1 - y * y); }
};
template <class T>
struct Gelu {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const {
    Vec<T> decay;
    return x * normal_cdf<T>(x, decay);
  }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const {
    Vec<T> decay;
    const Vec<T> below = normal_cdf<T>(x, decay);
    return g * (below + x * decay * T(0.39894228040143267794));
  }
};
template <class T>
struct Silu {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x * sigmoid<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const {
    const Vec<T> s = sigmoid<T>(x);
    return g * s * (1 + x * (1 - s));
  }
};
template <class T>
struct Elu {
  T alpha;
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x > 0 ? x : alpha * expm1_of_negative<T>(min<T>(Vec<T>{}, x)); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T> y, Vec<T> g) const { return x > 0 ? g : g * (y + alpha); }
};
template <class T>
struct Abs {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return abs<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return x > 0 ? g : (x < 0 ? -g : Vec<T>{}); }
};
template <class T>
struct Log {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return log<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return g / x; }
};
template <class T>
struct Sqrt {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return sqrt<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T> y, Vec<T> g) const { return g / (y + y); }
};
template <class T>
struct Neg {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return -x; }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T>, Vec<T> g) const { return -g; }
};
template <class T>
struct Square {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x * x; }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return g * (x + x); }
};
template <class T>
struct Cube {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x * x * x; }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const { return g * (x * x * T(3)); }
};
template <class T>
struct Inverse {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return 1 / x; }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T> y, Vec<T> g) const { return -(g * y * y); }
};
template <class T>
struct Power {
  T exponent;
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const {
    return by_lane<T>(x, [this](T v) { return std::pow(v, exponent); });
  }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const {
    // x^0 is constant, at 0 too.
    if (exponent == 0) return g * 0;
    return g * exponent * by_lane<T>(x, [this](T v) { return std::pow(v, exponent - 1); });
  }
};
template <class T>
struct Clamp {
  T low, high;
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return min<T>(broadcast<T>(high), max<T>(broadcast<T>(low), x)); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T> x, Vec<T>, Vec<T> g) const {
    return ((x >= low) & (x <= high)) ? g : Vec<T>{};
  }
};
template <class T>
struct Round {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return round_even<T>(x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T>, Vec<T>) const { return Vec<T>{}; }
};
template <class T>
struct Sign {
  ESPALIER_INLINE Vec<T> value(Vec<T> x) const { return x > 0 ? broadcast<T>(1) : (x < 0 ? broadcast<T>(-1) : x); }
  ESPALIER_INLINE Vec<T> gradient(Vec<T>, Vec<T>, Vec<T>) const { return Vec<T>{}; }
};

// Runs body with the function that `kind` names.
template <class T, class Body>
ESPALIER_INLINE void with_unary(espalier_unary kind, T p, T q, Body body) {
  switch (kind) {
    case ESPALIER_UNARY_RELU: return body(Relu<T>{});
    case ESPALIER_UNARY_EXP: return body(Exp<T>{});
    case ESPALIER_UNARY_LEAKY_RELU: return body(LeakyRelu<T>{p});
    case ESPALIER_UNARY_SIGMOID: return body(Sigmoid<T>{});
    case ESPALIER_UNARY_TANH: return body(Tanh<T>{});
    case ESPALIER_UNARY_GELU: return body(Gelu<T>{});
    case ESPALIER_UNARY_SILU: return body(Silu<T>{});
    case ESPALIER_UNARY_ELU: return body(Elu<T>{p});
    case ESPALIER_UNARY_ABS: return body(Abs<T>{});
    case ESPALIER_UNARY_LOG: return body(Log<T>{});
    case ESPALIER_UNARY_SQRT: return body(Sqrt<T>{});
    case ESPALIER_UNARY_NEG: return body(Neg<T>{});
    case ESPALIER_UNARY_SQUARE: return body(Square<T>{});
    case ESPALIER_UNARY_POW:
      if (p == 2) return body(Square<T>{});
      if (p == 3) return body(Cube<T>{});
      if (p == -1) return body(Inverse<T>{});
      if (p == T(0.5)) return body(Sqrt<T>{});
      return body(Power<T>{p});
    case ESPALIER_UNARY_CLAMP: return body(Clamp<T>{p, q});
    case ESPALIER_UNARY_ROUND: return body(Round<T>{});
    case ESPALIER_UNARY_SIGN: return body(Sign<T>{});
  }
}

template <class T>
void unary(espalier_unary kind, T p, T q, const T* x, T* y, int64_t n) {
  with_unary<T>(kind, p, q, [=](auto function) {
    map<T>(
        n, [=](Vec<T> v) { return function.value(v); }, y, x);
  });
}

template <class T>
void unary_gradient(espalier_unary kind, T p, T q, const T* x, const T* y, const T* grad, T* grad_x, int64_t n) {
  with_unary<T>(kind, p, q, [=](auto function) {
    map<T>(
        n, [=](Vec<T> a, Vec<T> b, Vec<T> g) { return function.gradient(a, b, g); }, grad_x, x, y, grad);
  });
}

// Runs body with the function of two vectors that `kind` names. NaN in either operand stays NaN.
template <class T, class Body>
ESPALIER_INLINE void with_binary(espalier_binary kind, Body body) {
  switch (kind) {
    case ESPALIER_BINARY_ADD: return body([](Vec<T> a, Vec<T> b) { return a + b; });
    case ESPALIER_BINARY_SUB: return body([](Vec<T> a, Vec<T> b) { return a - b; });
    case ESPALIER_BINARY_MUL: return body([](Vec<T> a, Vec<T> b) { return a * b; });
    case ESPALIER_BINARY_DIV: return body([](Vec<T> a, Vec<T> b) { return a / b; });
    case ESPALIER_BINARY_MAXIMUM: return body([](Vec<T> a, Vec<T> b) { return a != a ? a : max<T>(a, b); });
    case ESPALIER_BINARY_MINIMUM: return body([](Vec<T> a, Vec<T> b) { return a != a ? a : min<T>(a, b); });
    case ESPALIER_BINARY_GREATER:
      return body(
          [](Vec<T> a, Vec<T> b) { return a > b ? broadcast<T>(1) : (a == b ? broadcast<T>(T(0.5)) : Vec<T>{}); });
  }
}

template <class T>
void binary(espalier_binary kind, const T* a, const T* b, T* y, int64_t n) {
  with_binary<T>(kind, [=](auto function) { map<T>(n, function, y, a, b); });
}

template <class T>
void binary_scalar(espalier_binary kind, const T* a, T b, T* y, int64_t n) {
  with_binary<T>(kind, [=](auto function) {
    map<T>(
        n, [=](Vec<T> v) { return function(v, broadcast<T>(b)); }, y, a);
  });
}

// Rows of the innermost dimension, each either two arrays or an array and a repeated number.
template <class T>
void binary_strided(espalier_binary kind, const Layout<2>& layout, const T* a, const T* b, T* y) {
  with_binary<T>(kind, [&](auto function) {
    const int outer = layout.rank - 1;
    const int64_t inner = layout.shape[outer];
    const int64_t rows = layout.size() / inner;
    const bool repeat_a = layout.stride[0][outer] == 0, repeat_b = layout.stride[1][outer] == 0;
    // Long rows are cut too, so that one row keeps every thread busy.
    const int64_t pieces = (inner + kElementGrain - 1) / kElementGrain;
    const int64_t grain = std::max<int64_t>(1, kElementGrain / inner);
    parallel_ranges(rows * pieces, grain, [&](int64_t begin, int64_t end) {
      Walk<2> at(layout, outer, begin / pieces);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i / pieces, piece = i % pieces;
        const T* const left = a + at.offset[0];
        const T* const right = b + at.offset[1];
        const int64_t from = piece * kElementGrain, to = std::min(inner, from + kElementGrain);
        if (repeat_b)
          map_piece<T>(
              from, to, [&](Vec<T> v) { return function(v, broadcast<T>(*right)); }, y + row * inner, left);
        else if (repeat_a)
          map_piece<T>(
              from, to, [&](Vec<T> v) { return function(broadcast<T>(*left), v); }, y + row * inner, right);
        else map_piece<T>(from, to, function, y + row * inner, left, right);
        if (piece == pieces - 1) at.step();
      }
    });
  });
}

template <class T>
void accumulate(const T* x, T* y, int64_t n) {
  binary<T>(ESPALIER_BINARY_ADD, y, x, y, n);
}

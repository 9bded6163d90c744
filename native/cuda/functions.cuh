// The functions of one and two numbers, each beside its gradient: (x) and gradient(x, y, g), y being the value
// at x and g the gradient that comes in. W is float or double. NaN stays NaN throughout: max(0, x) is written
// so that it is x where x is NaN.
#pragma once

#include "cuda/core/launch.cuh"
#include "espalier/elementwise.h"

namespace espalier::cuda {

template <class W>
__device__ __forceinline__ W larger(W a, W b) {
  return a > b ? a : b;
}
template <class W>
__device__ __forceinline__ W smaller(W a, W b) {
  return a < b ? a : b;
}
template <class W>
__device__ __forceinline__ W sign_of(W x) {
  return x > 0 ? W(1) : (x < 0 ? W(-1) : x);
}
template <class W>
__device__ __forceinline__ W logistic(W x) {
  return 1 / (1 + exp(-x));
}

template <class W>
struct Relu {
  __device__ W operator()(W x) const { return larger(W(0), x); }
  __device__ W gradient(W x, W, W g) const { return x > 0 ? g : W(0); }
};
template <class W>
struct LeakyRelu {
  W slope;
  __device__ W operator()(W x) const { return x > 0 ? x : x * slope; }
  __device__ W gradient(W x, W, W g) const { return x > 0 ? g : g * slope; }
};
template <class W>
struct Exp {
  __device__ W operator()(W x) const { return exp(x); }
  __device__ W gradient(W, W y, W g) const { return g * y; }
};
template <class W>
struct Sigmoid {
  __device__ W operator()(W x) const { return logistic(x); }
  __device__ W gradient(W, W y, W g) const { return g * y * (1 - y); }
};
template <class W>
struct Tanh {
  __device__ W operator()(W x) const { return tanh(x); }
  __device__ W gradient(W, W y, W g) const { return g * (1 - y * y); }
};
template <class W>
struct Gelu {
  __device__ W operator()(W x) const { return x * normcdf(x); }
  __device__ W gradient(W x, W, W g) const {
    return g * (normcdf(x) + x * exp(W(-0.5) * x * x) * W(0.39894228040143267794));
  }
};
template <class W>
struct Silu {
  __device__ W operator()(W x) const { return x * logistic(x); }
  __device__ W gradient(W x, W, W g) const {
    const W s = logistic(x);
    return g * s * (1 + x * (1 - s));
  }
};
template <class W>
struct Elu {
  W alpha;
  __device__ W operator()(W x) const { return x > 0 ? x : alpha * expm1(x); }
  __device__ W gradient(W x, W y, W g) const { return x > 0 ? g : g * (y + alpha); }
};
template <class W>
struct Abs {
  __device__ W operator()(W x) const { return fabs(x); }
  __device__ W gradient(W x, W, W g) const { return x > 0 ? g : (x < 0 ? -g : W(0)); }
};
template <class W>
struct Log {
  __device__ W operator()(W x) const { return log(x); }
  __device__ W gradient(W x, W, W g) const { return g / x; }
};
template <class W>
struct Sqrt {
  __device__ W operator()(W x) const { return sqrt(x); }
  __device__ W gradient(W, W y, W g) const { return g / (y + y); }
};
template <class W>
struct Neg {
  __device__ W operator()(W x) const { return -x; }
  __device__ W gradient(W, W, W g) const { return -g; }
};
template <class W>
struct Square {
  __device__ W operator()(W x) const { return x * x; }
  __device__ W gradient(W x, W, W g) const { return g * (x + x); }
};
template <class W>
struct Cube {
  __device__ W operator()(W x) const { return x * x * x; }
  __device__ W gradient(W x, W, W g) const { return g * (x * x * W(3)); }
};
template <class W>
struct Inverse {
  __device__ W operator()(W x) const { return 1 / x; }
  __device__ W gradient(W, W y, W g) const { return -(g * y * y); }
};
template <class W>
struct Power {
  W exponent;
  __device__ W operator()(W x) const { return pow(x, exponent); }
  __device__ W gradient(W x, W, W g) const {
    // x^0 is constant, at 0 too.
    return exponent == 0 ? g * 0 : g * exponent * pow(x, exponent - 1);
  }
};
template <class W>
struct Clamp {
  W low, high;
  __device__ W operator()(W x) const { return smaller(high, larger(low, x)); }
  __device__ W gradient(W x, W, W g) const { return x >= low && x <= high ? g : W(0); }
};
template <class W>
struct Round {
  __device__ W operator()(W x) const { return rint(x); }
  __device__ W gradient(W, W, W) const { return 0; }
};
template <class W>
struct Sign {
  __device__ W operator()(W x) const { return sign_of(x); }
  __device__ W gradient(W, W, W) const { return 0; }
};

// Runs body with the function that `kind` names.
template <class W, class Body>
void with_unary(espalier_unary kind, W p, W q, Body body) {
  switch (kind) {
    case ESPALIER_UNARY_RELU: return body(Relu<W>{});
    case ESPALIER_UNARY_EXP: return body(Exp<W>{});
    case ESPALIER_UNARY_LEAKY_RELU: return body(LeakyRelu<W>{p});
    case ESPALIER_UNARY_SIGMOID: return body(Sigmoid<W>{});
    case ESPALIER_UNARY_TANH: return body(Tanh<W>{});
    case ESPALIER_UNARY_GELU: return body(Gelu<W>{});
    case ESPALIER_UNARY_SILU: return body(Silu<W>{});
    case ESPALIER_UNARY_ELU: return body(Elu<W>{p});
    case ESPALIER_UNARY_ABS: return body(Abs<W>{});
    case ESPALIER_UNARY_LOG: return body(Log<W>{});
    case ESPALIER_UNARY_SQRT: return body(Sqrt<W>{});
    case ESPALIER_UNARY_NEG: return body(Neg<W>{});
    case ESPALIER_UNARY_SQUARE: return body(Square<W>{});
    case ESPALIER_UNARY_POW:
      if (p == 2) return body(Square<W>{});
      if (p == 3) return body(Cube<W>{});
      if (p == -1) return body(Inverse<W>{});
      if (p == W(0.5)) return body(Sqrt<W>{});
      return body(Power<W>{p});
    case ESPALIER_UNARY_CLAMP: return body(Clamp<W>{p, q});
    case ESPALIER_UNARY_ROUND: return body(Round<W>{});
    case ESPALIER_UNARY_SIGN: return body(Sign<W>{});
  }
}

template <class W>
struct Add {
  __device__ W operator()(W a, W b) const { return a + b; }
};
template <class W>
struct Sub {
  __device__ W operator()(W a, W b) const { return a - b; }
};
template <class W>
struct Mul {
  __device__ W operator()(W a, W b) const { return a * b; }
};
template <class W>
struct Div {
  __device__ W operator()(W a, W b) const { return a / b; }
};
template <class W>
struct Maximum {
  __device__ W operator()(W a, W b) const { return a != a ? a : larger(a, b); }
};
template <class W>
struct Minimum {
  __device__ W operator()(W a, W b) const { return a != a ? a : smaller(a, b); }
};
template <class W>
struct Greater {
  __device__ W operator()(W a, W b) const { return a > b ? W(1) : (a == b ? W(0.5) : W(0)); }
};

template <class W, class Body>
void with_binary(espalier_binary kind, Body body) {
  switch (kind) {
    case ESPALIER_BINARY_ADD: return body(Add<W>{});
    case ESPALIER_BINARY_SUB: return body(Sub<W>{});
    case ESPALIER_BINARY_MUL: return body(Mul<W>{});
    case ESPALIER_BINARY_DIV: return body(Div<W>{});
    case ESPALIER_BINARY_MAXIMUM: return body(Maximum<W>{});
    case ESPALIER_BINARY_MINIMUM: return body(Minimum<W>{});
    case ESPALIER_BINARY_GREATER: return body(Greater<W>{});
  }
}

}  // namespace espalier::cuda

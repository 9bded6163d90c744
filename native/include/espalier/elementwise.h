/* Functions applied element by element. */
#ifndef ESPALIER_ELEMENTWISE_H
#define ESPALIER_ELEMENTWISE_H

#include "types.h"

/* Functions of one number; p and q are the two parameters of a call. */
typedef enum espalier_unary {
  ESPALIER_UNARY_RELU = 0,       /* max(x, 0); gradient 0 at 0 */
  ESPALIER_UNARY_EXP = 1,        /* e^x */
  ESPALIER_UNARY_LEAKY_RELU = 2, /* x above 0, else p x; gradient p at 0 */
  ESPALIER_UNARY_SIGMOID = 3,    /* 1 / (1 + e^-x) */
  ESPALIER_UNARY_TANH = 4,
  ESPALIER_UNARY_GELU = 5, /* x (1 + erf(x / sqrt 2)) / 2 */
  ESPALIER_UNARY_SILU = 6, /* x / (1 + e^-x) */
  ESPALIER_UNARY_ELU = 7,  /* x above 0, else p (e^x - 1) */
  ESPALIER_UNARY_ABS = 8,  /* gradient 0 at 0 */
  ESPALIER_UNARY_LOG = 9,
  ESPALIER_UNARY_SQRT = 10,
  ESPALIER_UNARY_NEG = 11,
  ESPALIER_UNARY_SQUARE = 12,
  ESPALIER_UNARY_POW = 13,   /* x^p */
  ESPALIER_UNARY_CLAMP = 14, /* min(max(x, p), q); the gradient passes at both bounds */
  ESPALIER_UNARY_ROUND = 15, /* to the nearest whole number, halves to the even one; gradient 0 */
  ESPALIER_UNARY_SIGN = 16   /* -1, 0 or 1; gradient 0 */
} espalier_unary;

/* Functions of two numbers. */
typedef enum espalier_binary {
  ESPALIER_BINARY_ADD = 0,
  ESPALIER_BINARY_SUB = 1,
  ESPALIER_BINARY_MUL = 2,
  ESPALIER_BINARY_DIV = 3,
  ESPALIER_BINARY_MAXIMUM = 4,
  ESPALIER_BINARY_MINIMUM = 5,
  ESPALIER_BINARY_GREATER = 6 /* 1 where a > b, 1/2 where they are equal, else 0: how maximum shares a gradient */
} espalier_binary;

/* y[i] = kind(x[i]); x and y of one length and type. p and q are the function's parameters where it
 * has any (see espalier_unary), else ignored. May run in place. */
ESPALIER_API espalier_status espalier_unary_forward(espalier_unary kind, double p, double q, espalier_in x,
                                                    espalier_out y);

/* grad_x[i] = grad[i] kind'(x[i]), where y is what the forward call made of x. All of one length and
 * type. grad_x may be grad. */
ESPALIER_API espalier_status espalier_unary_backward(espalier_unary kind, double p, double q, espalier_in x,
                                                     espalier_in y, espalier_in grad, espalier_out grad_x);

/* y[i] = kind(a[i], b[i]); all of one length and type. y may be a or b. */
ESPALIER_API espalier_status espalier_binary_forward(espalier_binary kind, espalier_in a, espalier_in b,
                                                     espalier_out y);

/* y[i] = kind(a[i], b). y may be a. */
ESPALIER_API espalier_status espalier_binary_scalar(espalier_binary kind, espalier_in a, double b, espalier_out y);

/* y[o, i, j] = kind(a[o, i, j], b[i]): a and y are [outer, n, inner], b has n elements. A bias of rows
 * (inner 1) or of channels, without a shape to pass. y may be a. */
ESPALIER_API espalier_status espalier_binary_middle(espalier_binary kind, int64_t outer, int64_t n, int64_t inner,
                                                    espalier_in a, espalier_in b, espalier_out y);

/* y = kind(a, b), both stretched to a common shape: shapes are aligned at the last dimension and a
 * dimension of 1 repeats. y has as many elements as that common shape. */
ESPALIER_API espalier_status espalier_binary_broadcast(espalier_binary kind, espalier_dims a_shape,
                                                       espalier_dims b_shape, espalier_in a, espalier_in b,
                                                       espalier_out y);

/* y[i] += x[i]; one length and type. */
ESPALIER_API espalier_status espalier_accumulate(espalier_in x, espalier_out y);

#endif

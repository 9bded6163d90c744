/* Pooling: the largest or the mean value of windows of an image. */
#ifndef ESPALIER_POOL_H
#define ESPALIER_POOL_H

#include "types.h"

/* Windows over `planes` images of height × width each. Tap (i, j) of window (h, w) is the value at row
 * h · stride_height − padding_height + i · dilation_height and the like column; taps outside the image
 * do not count. A window fits into the padded image, and every one starts inside the image or its left
 * padding. Kernels are 1 to 2^20, strides
 * and dilations at least 1, paddings at most half a kernel; all are below 2^31, and so is a plane. */
typedef struct espalier_pool2d {
  int64_t planes, height, width, out_height, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
  int64_t dilation_height, dilation_width;
} espalier_pool2d;

/* y = the largest value of each window, the first in reading order of equal ones; a NaN is larger than
 * all. `indices` (int32, y's length, may be absent) receives where it is in its plane: row · width +
 * column; −1 (and y = −∞) for a window without any value. */
ESPALIER_API espalier_status espalier_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                                         espalier_pool2d shape);

/* dx = each dy added at its window's index, 0 elsewhere. An index outside its plane is an error, −1 goes
 * nowhere. `in_size` and `out_size` are values a plane. */
ESPALIER_API espalier_status espalier_max_pool_backward(espalier_in dy, espalier_in indices, espalier_out dx,
                                                        int64_t planes, int64_t in_size, int64_t out_size);

/* y = the mean of each window: its sum over the number of its taps in the image, or, where
 * `count_padding` is 1, in the image and its padding. Dilations must be 1. */
ESPALIER_API espalier_status espalier_avg_pool2d_forward(espalier_in x, int64_t count_padding, espalier_out y,
                                                         espalier_pool2d shape);

ESPALIER_API espalier_status espalier_avg_pool2d_backward(espalier_in dy, int64_t count_padding, espalier_out dx,
                                                          espalier_pool2d shape);

/* Windows that share out an image: window i of n covers rows ⌊i·height/n⌋ to ⌈(i+1)·height/n⌉. */
typedef struct espalier_adaptive_pool2d {
  int64_t planes, height, width, out_height, out_width;
} espalier_adaptive_pool2d;

ESPALIER_API espalier_status espalier_adaptive_avg_pool2d_forward(espalier_in x, espalier_out y,
                                                                  espalier_adaptive_pool2d shape);

ESPALIER_API espalier_status espalier_adaptive_avg_pool2d_backward(espalier_in dy, espalier_out dx,
                                                                   espalier_adaptive_pool2d shape);

/* As espalier_max_pool2d_forward; its backward function serves both. */
ESPALIER_API espalier_status espalier_adaptive_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                                                  espalier_adaptive_pool2d shape);

#endif

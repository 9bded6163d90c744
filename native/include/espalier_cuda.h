/* Espalier's kernels on an NVIDIA GPU, as a plain C interface.
 *
 * espalier/cuda/operations.h declares the functions of espalier.h once more under the names
 * espalier_cuda_*: same arguments, same meaning, but the `data` of every array is an address in the
 * memory of the calling thread's current device (dims and single values stay on the host). Beside
 * float32 and float64 (and the integer types where espalier.h says so) products, convolutions and
 * elementwise functions take float16 and bfloat16, summing in float32.
 *
 * Work is queued on the calling thread's current stream and runs in its order; a call returns when
 * its work is queued. What depends on the values of an array (an index out of range, a NaN among
 * scores) is an error of the next call that waits for the device, whose message names the call at
 * fault. So is what the hardware reports late, but its message names only the CUDA call that told of it. */
#ifndef ESPALIER_CUDA_H
#define ESPALIER_CUDA_H

#include "espalier.h"

#include "espalier/cuda/runtime.h"

#include "espalier/cuda/operations.h"
#include "espalier/cuda/mixed.h"
#include "espalier/cuda/sparse.h"
#include "espalier/cuda/nhwc.h"
#include "espalier/cuda/program.h"

#endif

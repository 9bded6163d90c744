/* Espalier's kernels as a plain C interface.
 *
 * Every call returns a status; none throws, none keeps a pointer after it returns. A call that
 * fails leaves its outputs as they were and describes the failure in espalier_last_error(), a text
 * that belongs to the calling thread. Calls may come from any number of threads at once.
 *
 * Arrays are dense, row-major and carry their own length and element type, so that each function
 * checks the sizes it was promised. Images are N,C,H,W. Where several arrays meet they share one
 * element type, float32 or float64, unless the function says otherwise. Outputs must not overlap
 * inputs, except where a function says it may run in place. */
#ifndef ESPALIER_H
#define ESPALIER_H

#include "espalier/types.h"

#include "espalier/runtime.h"

#include "espalier/accumulator.h"
#include "espalier/conv.h"
#include "espalier/elementwise.h"
#include "espalier/embedding.h"
#include "espalier/gemm.h"
#include "espalier/loss.h"
#include "espalier/norm.h"
#include "espalier/optimizer.h"
#include "espalier/pool.h"
#include "espalier/program.h"
#include "espalier/quant.h"
#include "espalier/random.h"
#include "espalier/reduce.h"
#include "espalier/shape.h"
#include "espalier/softmax.h"
#include "espalier/score.h"
#include "espalier/sparse.h"
#include "espalier/sparse_conv.h"
#include "espalier/sparse_integer.h"
#include "espalier/select.h"

#endif

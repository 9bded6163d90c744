/* Sparse products on the GPU. */
#ifndef ESPALIER_CUDA_SPARSE_H
#define ESPALIER_CUDA_SPARSE_H

#include "../types.h"

#endif

/* The types every part of the interface shares: status, element type, arrays, shapes. */
#ifndef ESPALIER_TYPES_H
#define ESPALIER_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
#define ESPALIER_API extern "C" __attribute__((visibility("default")))
#else
#define ESPALIER_API __attribute__((visibility("default")))
#endif

typedef enum espalier_status {
  ESPALIER_OK = 0,
  ESPALIER_INVALID_ARGUMENT = 1, /* a value outside its range */
  ESPALIER_SHAPE_MISMATCH = 2,   /* a length or shape that does not fit the others */
  ESPALIER_DTYPE_MISMATCH = 3,   /* an element type the function does not take */
  ESPALIER_OUT_OF_MEMORY = 4,
  ESPALIER_INTERNAL = 5
} espalier_status;

typedef enum espalier_dtype {
  ESPALIER_FLOAT32 = 0,
  ESPALIER_FLOAT64 = 1,
  ESPALIER_INT32 = 2,
  ESPALIER_INT16 = 3,
  ESPALIER_INT8 = 4,
  ESPALIER_UINT8 = 5,
  ESPALIER_FLOAT16 = 6, /* IEEE half precision; on CUDA alone */
  ESPALIER_BFLOAT16 = 7 /* the upper half of a float32; on CUDA alone */
} espalier_dtype;

/* An array that is read. `data` may be NULL where a function calls the argument optional. */
typedef struct espalier_in {
  const void* data;
  int64_t length; /* elements, not bytes */
  espalier_dtype dtype;
} espalier_in;

/* An array that is written (and, where a function says so, read first). */
typedef struct espalier_out {
  void* data;
  int64_t length;
  espalier_dtype dtype;
} espalier_out;

/* Several arrays. */
typedef struct espalier_in_list {
  const espalier_in* items;
  int64_t count;
} espalier_in_list;
typedef struct espalier_out_list {
  const espalier_out* items;
  int64_t count;
} espalier_out_list;

/* A shape, or any short list of integers. */
typedef struct espalier_dims {
  const int64_t* data;
  int64_t rank;
} espalier_dims;

#endif

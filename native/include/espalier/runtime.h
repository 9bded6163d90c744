/* The machine: instruction sets, threads, errors. */
#ifndef ESPALIER_RUNTIME_H
#define ESPALIER_RUNTIME_H

#include "types.h"

/* What went wrong in the calling thread's last failed call. Never NULL. */
ESPALIER_API const char* espalier_last_error(void);

/* The instruction set the kernels run on: the best this processor has, or the one that the
 * environment variable ESPALIER_ISA names. An unknown or absent one is an error. */
ESPALIER_API espalier_status espalier_isa(const char** name);

/* The instruction sets this build holds and this processor runs, best first, separated by commas. */
ESPALIER_API espalier_status espalier_isas(const char** names);

/* Threads a call may use, the caller's included. At first ESPALIER_THREADS, else one a core.
 * Results do not depend on it. */
ESPALIER_API espalier_status espalier_threads(int64_t* count);

/* Sets it, 1 to 256. */
ESPALIER_API espalier_status espalier_set_threads(int64_t count);

/* How many bytes past a multiple of 64 an array begins. Kernels read and write those that begin at one up to a tenth
 * faster: their vectors then lie in one line of the cache each. */
ESPALIER_API espalier_status espalier_misalignment(espalier_in array, int64_t* bytes);

#endif

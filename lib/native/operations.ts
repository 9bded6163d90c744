// Derived from native/include/espalier by scripts/bindings.mjs; run `npm run bindings` after a change there.

export type NativeArray = Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array

export const Status = {
  ok: 0,
  invalidArgument: 1,
  shapeMismatch: 2,
  dtypeMismatch: 3,
  outOfMemory: 4,
  internal: 5,
} as const
export type Status = (typeof Status)[keyof typeof Status]

export const Dtype = {
  float32: 0,
  float64: 1,
  int32: 2,
  int16: 3,
  int8: 4,
  uint8: 5,
} as const
export type Dtype = (typeof Dtype)[keyof typeof Dtype]

export const Unary = {
  relu: 0,
  exp: 1,
} as const
export type Unary = (typeof Unary)[keyof typeof Unary]

export interface NativeOperations {
  /** The instruction set the kernels run on: the best this processor has, or the one that the
   * environment variable ESPALIER_ISA names. An unknown or absent one is an error. */
  isa(): string
  /** The instruction sets this build holds and this processor runs, best first, separated by commas. */
  isas(): string
  /** Threads a call may use, the caller's included. At first ESPALIER_THREADS, else one a core.
   * Results do not depend on it. */
  threads(): number
  /** Sets it, 1 to 256. */
  setThreads(count: number): void
  /** y[i] = kind(x[i]); x and y of one length and type. `parameter` is the function's second
   * argument where it has one (see espalier_unary), else ignored. May run in place. */
  unaryForward(kind: Unary, parameter: number, x: NativeArray | null, y: NativeArray | null): void
  /** y[i] += x[i]; one length and type. */
  accumulate(x: NativeArray | null, y: NativeArray | null): void
}

import type { Dtype, NativeArray } from '../native/index.js'

/**
 * Element types. Networks compute in float32, on a GPU in float16 and bfloat16 too; float64 serves gradient
 * checks; integers hold codes, labels and indices.
 */
export type DType = keyof typeof Dtype

/** Those that the CPU holds as well. */
export type HostDType = Exclude<DType, 'float16' | 'bfloat16'>

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
} satisfies Record<HostDType, unknown>

/** The typed array that holds a dtype. */
export type ArrayOf<D extends DType> = InstanceType<(typeof constructors)[D & HostDType]>

export const arrayConstructor = <D extends HostDType>(dtype: D): (typeof constructors)[D] => constructors[dtype]

export const isHostDType = (name: unknown): name is HostDType => typeof name === 'string' && Object.hasOwn(constructors, name)

/** float16 or bfloat16: on a GPU alone, sums and parameters in float32. */
export const isHalf = (dtype: unknown): dtype is 'float16' | 'bfloat16' => dtype === 'float16' || dtype === 'bfloat16'

/** What statistics, losses and parameters have beside a tensor of this dtype: float32 beside 16 bits, else the same. */
export const wideOf = (dtype: DType): DType => (isHalf(dtype) ? 'float32' : dtype)

export const isDType = (name: unknown): name is DType => isHostDType(name) || isHalf(name)

export const isFloat = (dtype: DType): dtype is 'float32' | 'float64' | 'float16' | 'bfloat16' => dtype === 'float32' || dtype === 'float64' || isHalf(dtype)

const names = new Map<unknown, HostDType>(Object.entries(constructors).map(([name, made]) => [made, name as HostDType]))

/** The dtype a typed array holds, or undefined for one no tensor can hold. */
export const dtypeOf = (array: NativeArray): HostDType | undefined => names.get(array.constructor)

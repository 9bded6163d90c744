import type { Dtype, NativeArray } from '../native/index.js'

/** Element types. Networks compute in float32; float64 serves gradient checks; integers hold codes, labels and indices. */
export type DType = Exclude<keyof typeof Dtype, 'float16' | 'bfloat16'>

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
} satisfies Record<DType, unknown>

/** The typed array that holds a dtype. */
export type ArrayOf<D extends DType> = InstanceType<(typeof constructors)[D]>

export const arrayConstructor = <D extends DType>(dtype: D): (typeof constructors)[D] => constructors[dtype]

export const isDType = (name: unknown): name is DType => typeof name === 'string' && Object.hasOwn(constructors, name)

export const isFloat = (dtype: DType): dtype is 'float32' | 'float64' => dtype === 'float32' || dtype === 'float64'

const names = new Map<unknown, DType>(Object.entries(constructors).map(([name, made]) => [made, name as DType]))

/** The dtype a typed array holds, or undefined for one no tensor can hold. */
export const dtypeOf = (array: NativeArray): DType | undefined => names.get(array.constructor)

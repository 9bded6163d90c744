import {
  allocateOn,
  Binary,
  castOnDevice,
  clear,
  copyOnDevice,
  cudaInUse,
  type Device,
  DeviceArray,
  download,
  type NativeArray,
  native,
  type Storage,
  scoped,
  upload,
} from '../native/index.js'
import { type DType, dtypeOf, isFloat, isHalf } from './dtype.js'
import { allocate } from './memory.js'
import type { Tensor } from './tensor.js'

// Where tensors are made, and how their elements get from one place to another.

let ambient: Device = 'cpu'

/** Where a tensor is made that is not told otherwise: on the device of the operation under way, else on the CPU. */
export const ambientDevice = (): Device => ambient

/**
 * Runs `body` with everything that is made in it made on `device`.
 * @internal
 */
export function placedOn<T>(device: Device, body: () => T): T {
  if (device === ambient) return body()
  const before = ambient
  ambient = device
  try {
    return body()
  } finally {
    ambient = before
  }
}

/** Runs `body` with everything that is made in it made where x is. */
export const besides = <T>(x: Tensor, body: () => T): T => (cudaInUse() ? placedOn(x.device, body) : body())

export const deviceOf = (storage: Storage): Device => (storage instanceof DeviceArray ? storage.device : 'cpu')

/** Uninitialised storage on a device. */
export function allocateStorage(device: Device, dtype: DType, length: number): Storage {
  if (device !== 'cpu') return allocateOn(device, dtype, length)
  return allocate(dtype, length)
}

/** Uninitialised storage beside another, of its dtype and length. */
export const unset = (like: Storage): Storage =>
  like instanceof DeviceArray ? allocateOn(like.device, like.dtype, like.length) : allocate(dtypeOf(like) as DType, like.length)

/** Sets every element to one value; gives that storage. */
export function fill(storage: Storage, value: number): Storage {
  if (!(storage instanceof DeviceArray)) return storage.fill(value)
  const { dtype, length } = storage
  if (isFloat(dtype)) {
    clear(storage)
    if (value !== 0) native.binaryScalar(Binary.add, storage, value, storage)
  } else if (value === 0) clear(storage)
  else upload(allocate(dtype, length).fill(value), storage)
  return storage
}

/** The elements in memory of JavaScript's: the storage itself on the CPU, a copy from a device; 16-bit floats as float32. */
export function hostValues(storage: Storage): NativeArray {
  return storage instanceof DeviceArray ? (converted(storage, isHalf(storage.dtype) ? 'float32' : storage.dtype, 'cpu') as NativeArray) : storage
}

/** A copy of the elements, converted to another dtype on another device. */
export function converted(from: Storage, dtype: DType, device: Device): Storage {
  if (from instanceof DeviceArray) {
    if (from.device === device) {
      if (from.dtype === dtype) return from.clone()
      const to = allocateOn(device, dtype, from.length)
      castOnDevice(from, to)
      return to
    }
    if (device === 'cpu') return downloaded(from, dtype)
    return converted(hostValues(from), dtype, device)
  }
  if (device === 'cpu') {
    const to: NativeArray = allocate(dtype, from.length)
    to.set(from as never)
    return to
  }
  const own = dtypeOf(from) as DType
  const sent = allocateOn(device, own, from.length)
  upload(from, sent)
  if (own === dtype) return sent
  const to = allocateOn(device, dtype, from.length)
  castOnDevice(sent, to)
  sent.dispose()
  return to
}

function downloaded(from: DeviceArray, dtype: DType): NativeArray {
  const to: NativeArray = allocate(dtype, from.length)
  if (from.dtype === dtype) return download(from, to)
  const cast = converted(from, dtype, from.device) as DeviceArray
  download(cast, to)
  cast.dispose()
  return to
}

/** Overwrites `to` with the elements of `from`, of as many, wherever both are. */
export function assign(to: Storage, from: Storage): void {
  if (!(to instanceof DeviceArray)) {
    to.set(hostValues(from) as never)
    return
  }
  if (from instanceof DeviceArray && from.device === to.device) {
    if (from.dtype === to.dtype) copyOnDevice(from, to)
    else castOnDevice(from, to)
    return
  }
  if (!(from instanceof DeviceArray) && (dtypeOf(from) as DType) === to.dtype) {
    upload(from, to)
    return
  }
  const moved = converted(from, to.dtype, to.device) as DeviceArray
  copyOnDevice(moved, to)
  moved.dispose()
}

/**
 * Runs `body`, then frees the device memory of every tensor made in it, but those it returns (alone, or in
 * arrays, maps and plain objects), parameters, buffers, gradients, and those `keep` was called on. Without
 * it the garbage collector frees what nothing refers to, in its own time.
 *
 * @example
 * ```ts
 * import { scope, tensor } from 'espalier'
 * const mean = scope(() => tensor([1, 2, 3]).square().mean()) // the squares are gone
 * ```
 */
export function scope<T>(body: () => T): T {
  return cudaInUse() ? scoped(body, arraysIn) : body()
}

/** The device arrays of the tensors in a value. */
function arraysIn(value: unknown, found: Set<DeviceArray> = new Set(), seen: Set<unknown> = new Set()): Set<DeviceArray> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return found
  seen.add(value)
  if (value instanceof DeviceArray) found.add(value)
  else if (value instanceof Map) for (const item of value.values()) arraysIn(item, found, seen)
  else for (const item of Object.values(value)) arraysIn(item, found, seen)
  return found
}

import { Tensor } from '../tensor/index.js'

/** The method by which an object asks to be copied field by field; it is called on the copy to add what is no field. */
export const afterCopy = Symbol('afterCopy')

/** Something of `deepCopy`'s that copies a value met on the way. */
export type Copy = <T>(value: T) => T

/**
 * A deep copy: what was one object in the original is one object in the copy. Tensors lose their
 * history and gradients. An object of a class of its own is copied by its `clone` method, or field by
 * field if it has `afterCopy`, else shared.
 */
export function deepCopy<T>(original: T): T {
  const made = new Map<unknown, unknown>()

  const copy: Copy = (value) => {
    if (typeof value !== 'object' || value === null) return value
    const known = made.get(value)
    if (known !== undefined) return known as typeof value
    if (value instanceof Tensor || afterCopy in value) return copyFields(value)
    if (Array.isArray(value)) return fill([] as unknown[], value, (to) => to.push(...value.map(copy)))
    if (value instanceof Map) return fill(new Map(), value, (to) => value.forEach((item, key) => void to.set(copy(key), copy(item))))
    if (value instanceof Set) return fill(new Set(), value, (to) => value.forEach((item) => void to.add(copy(item))))
    if (ArrayBuffer.isView(value) && 'slice' in value) return keep(value, (value as unknown as Float32Array).slice())
    if ('clone' in value && typeof value.clone === 'function') return keep(value, value.clone())
    const prototype: unknown = Object.getPrototypeOf(value)
    return prototype === Object.prototype || prototype === null ? copyFields(value) : value
  }

  const keep = <V>(from: V, to: unknown): V => {
    made.set(from, to)
    return to as V
  }
  const fill = <V, C>(to: C, from: V, put: (to: C) => void): V => {
    const kept = keep(from, to)
    put(to)
    return kept
  }
  // Storage is new, and in nobody's hands but those of the copies that share it.
  const holders = new Map<unknown, Tensor>()
  const nowHolds = (tensor: Tensor): void => {
    const other = holders.get(tensor.storage)
    holders.set(tensor.storage, tensor)
    tensor.shown = other !== undefined
    if (other !== undefined) other.shown = true
  }

  const copyFields = <V extends object>(from: V): V => {
    const to = keep(from, Object.create(Object.getPrototypeOf(from) as object))
    for (const [name, value] of Object.entries(from)) {
      const copied: unknown = from instanceof Tensor && (name === 'origin' || name === 'gradient') ? null : copy(value)
      Object.defineProperty(to, name, { value: copied, configurable: true, enumerable: true, writable: true })
    }
    if (to instanceof Tensor) nowHolds(to)
    ;(to as { [afterCopy]?: (from: V, copy: Copy) => void })[afterCopy]?.(from, copy)
    return to
  }

  return copy(original)
}

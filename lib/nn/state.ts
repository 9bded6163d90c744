import { type Device, describe, EspalierError } from '../native/index.js'
import { assign, converted, type DType, formatShape, sameShape, Tensor } from '../tensor/index.js'
import { join } from './internals.js'
import type { Module } from './module.js'

/** Tensors by name, in PyTorch's names, order and layouts. */
export type StateDict = Record<string, Tensor>

/** All that is saved, in PyTorch's order: parameters, buffers, then children. A shared tensor appears under each of its names. */
function* saved(module: Module, prefix = ''): Generator<[name: string, tensor: Tensor]> {
  for (const [name, parameter] of module.ownParameters()) yield [join(prefix, name), parameter]
  for (const [name, buffer] of module.ownBuffers({ persistent: true })) yield [join(prefix, name), buffer]
  for (const [name, child] of module.namedChildren()) yield* saved(child, join(prefix, name))
}

const writes = new WeakMap<Tensor, number>()

/** How often a loaded state or a conversion gave a tensor other elements: whoever keeps what it made of them remembers for which count. */
export const timesWritten = (tensor: Tensor): number => writes.get(tensor) ?? 0

/** See `Module.stateDict`. */
export function stateOf(module: Module): StateDict {
  const state = Object.create(null) as StateDict
  for (const [name, tensor] of saved(module)) state[name] = tensor.copy()
  return state
}

/** See `Module.loadStateDict`. */
export function loadState(module: Module, state: StateDict | ReadonlyMap<string, Tensor>, strict: boolean): { missing: string[]; unexpected: string[] } {
  if (typeof state !== 'object' || state === null)
    throw new EspalierError('INVALID_ARGUMENT', `loadStateDict: the state is ${describe(state)}, expected tensors by name`)
  const given = new Map<string, unknown>(state instanceof Map ? state : Object.entries(state))
  const own = new Map(saved(module))
  const missing = [...own.keys()].filter((name) => !given.has(name))
  const unexpected = [...given.keys()].filter((name) => !own.has(name))
  const faults: string[] = []
  if (strict && missing.length > 0) faults.push(`missing: ${missing.join(', ')}`)
  if (strict && unexpected.length > 0) faults.push(`unexpected: ${unexpected.join(', ')}`)
  const copies: [to: Tensor, from: Tensor][] = []
  for (const [name, tensor] of own) {
    if (!given.has(name)) continue
    const value = given.get(name)
    if (!(value instanceof Tensor)) faults.push(`${name} is ${describe(value)}, expected a tensor`)
    else if (!sameShape(value.shape, tensor.shape)) faults.push(`${name} has shape ${formatShape(value.shape)}, expected ${formatShape(tensor.shape)}`)
    else copies.push([tensor, value])
  }
  if (faults.length > 0) throw new EspalierError('SHAPE_MISMATCH', `loadStateDict: ${module.constructor.name} does not take this state; ${faults.join('; ')}`)
  for (const [to, from] of copies) {
    assign(to.storage, from.storage)
    writes.set(to, timesWritten(to) + 1)
  }
  return { missing, unexpected }
}

/** Gives a tensor another dtype or device in place, so that whoever holds it (an optimiser, a tied layer) goes along. */
export function convertInPlace(tensor: Tensor, dtype: DType, device: Device): void {
  if (tensor.dtype === dtype && tensor.device === device) return
  Object.assign(tensor, { storage: converted(tensor.storage, dtype, device), dtype, grad: null, shown: false })
  // Nobody holds the new elements, but the old ones may have been written to before.
  writes.set(tensor, timesWritten(tensor) + 1)
  tensor.keep()
}

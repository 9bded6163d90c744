import { describe, ensure } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { internals, type Removal } from './internals.js'
import type { Module } from './module.js'

/** Adds a hook to one of a module's sets of hooks. */
export function addHook<Hook>(module: Module, hooks: Set<Hook>, hook: Hook): Removal {
  ensure(typeof hook === 'function', 'INVALID_ARGUMENT', () => `the hook is ${describe(hook)}, expected a function`)
  ensure(!hooks.has(hook), 'STATE', () => 'this hook is registered on this module already')
  hooks.add(hook)
  watchForward(module)
  return { remove: () => void hooks.delete(hook) }
}

const watched = new WeakSet<Module>()

/**
 * Runs a module's hooks around `forward` by shadowing it on the instance: a module without hooks pays
 * nothing, and no caller has to ask for them.
 */
export function watchForward(module: Module): void {
  if (watched.has(module)) return
  watched.add(module)
  const own = Object.hasOwn(module, 'forward') ? module.forward : undefined
  const forward = function (this: Module, ...inputs: Tensor[]): Tensor {
    const { preHooks, hooks } = this[internals]
    for (const hook of [...preHooks]) inputs = hook(this, inputs) ?? inputs
    let output = (own ?? (Object.getPrototypeOf(this) as Module).forward).apply(this, inputs)
    for (const hook of [...hooks]) output = hook(this, inputs, output) ?? output
    return output
  }
  Object.defineProperty(module, 'forward', { value: forward, configurable: true, enumerable: false, writable: true })
}

import { describe, EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/**
 * Modules one after the other: each gets what the one before gives. They are fields named `0`, `1`, …,
 * or by the names of an object.
 *
 * @example
 * ```ts
 * import { nn } from 'espalier'
 * const net = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 10))
 * const same = new nn.Sequential({ flatten: new nn.Flatten(), fc: new nn.Linear(64, 10) })
 * Object.keys(same.stateDict()) // fc.weight, fc.bias
 * ```
 */
export class Sequential extends Module {
  /** Field names in the order of execution: JavaScript would put `2` before `fc`. */
  private readonly order: string[] = []

  constructor(modules?: Module | Record<string, Module>, ...more: Module[]) {
    super()
    const named =
      modules === undefined || modules instanceof Module ? [...(modules === undefined ? [] : [modules]), ...more].entries() : Object.entries(modules)
    for (const [name, module] of named) this.put(String(name), module)
  }

  get length(): number {
    return [...this.children()].length
  }

  /** The module at a place; negative places count from the end. */
  at(index: number): Module | undefined {
    return [...this.children()].at(index)
  }

  /** Adds a module at the end. */
  append(module: Module): this {
    this.put(String(this.length), module)
    return this
  }

  override *namedChildren(): Generator<[name: string, child: Module]> {
    const fields = new Map(super.namedChildren())
    for (const name of new Set([...this.order, ...fields.keys()])) {
      const module = fields.get(name)
      if (module !== undefined) yield [name, module]
    }
  }

  forward(x: Tensor): Tensor {
    for (const module of this.children()) x = module.forward(x)
    return x
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.children()
  }

  private put(name: string, module: unknown): void {
    if (!(module instanceof Module)) throw new EspalierError('INVALID_ARGUMENT', `Sequential: ${name} is ${describe(module)}, expected a module`)
    if (name in this || name.includes('.')) throw new EspalierError('INVALID_ARGUMENT', `Sequential: ${describe(name)} cannot name a module`)
    this.order.push(name)
    Object.assign(this, { [name]: module })
  }
}

import { describe, EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** Modules in a list, named 0, 1, …, for a `forward` that uses them as it likes. An array in a field does the same. */
export class ModuleList extends Module {
  constructor(modules: Iterable<Module> = []) {
    super()
    for (const module of modules) this.append(module)
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
    if (!(module instanceof Module)) throw new EspalierError('INVALID_ARGUMENT', `ModuleList: ${describe(module)} is no module`)
    return Object.assign(this, { [this.length]: module })
  }

  forward(): Tensor {
    throw new EspalierError('STATE', 'ModuleList: a list of modules has no forward of its own')
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.children()
  }
}

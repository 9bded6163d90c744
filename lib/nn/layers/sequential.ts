import { lent, tracing } from '../../autograd/index.js'
import { describe, EspalierError } from '../../native/index.js'
import { sharesStorage, type Tensor } from '../../tensor/index.js'
import { field } from '../internals.js'
import { Module } from '../module.js'
import * as activations from './activations.js'
import { BatchNorm1d, BatchNorm2d } from './batchNorm.js'
import { Conv1d } from './conv1d.js'
import { Conv2d } from './conv2d.js'
import { ConvTranspose2d } from './convTranspose2d.js'
import { Dropout } from './dropout.js'
import { Flatten } from './flatten.js'
import { LayerNorm } from './layerNorm.js'
import { Linear } from './linear.js'
import * as pooling from './pooling.js'
import { SparseConv2d } from './sparseConv2d.js'
import { SparseLinear } from './sparseLinear.js'

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
    // What one plain layer gives to another nobody else can hold, unless it shares its storage with what lies before
    // or behind: then the tape may have it, and the next step's results find their storage instead of asking for more.
    let [before, between]: [Tensor | null, boolean] = [null, false]
    const modules = this.inOrder()
    for (let i = 0; i < modules.length; i++) {
      const plain = isPlain(modules[i])
      const rectified = plain && !tracing() && rectifies(modules[i]) && modules[i + 1]?.constructor === activations.ReLU && isPlain(modules[i + 1])
      const y = rectified ? (modules[i] as Rectifying).forwardRectified(x) : modules[i].forward(x)
      if (rectified) i++
      if (between && plain && before !== null && !sharesStorage(before, x) && !sharesStorage(x, y)) lent(x)
      ;[before, x, between] = [x, y, plain && !tracing()]
    }
    return x
  }

  /** `children` as a list: their generators took longer than a small layer. */
  private inOrder(): readonly Module[] {
    const list: Module[] = []
    for (const name of this.order) {
      const module = field(this, name)
      if (module instanceof Module) list.push(module)
    }
    // Fields of a subclass, or replaced by something that is no module.
    return list.length === this.order.length && Object.keys(this).length === list.length + plainFields ? list : [...this.children()]
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

// Of a Sequential without modules.
const plainFields = Object.keys(new Sequential()).length

/** A layer that takes the ReLU behind it into its product. */
type Rectifying = Linear | SparseLinear
const rectifies = (module: Module): module is Rectifying => module instanceof Linear || module instanceof SparseLinear

// Those that keep no hold of what they get and give. A subclass may, and so may what shadows `forward`: a hook does.
const plainLayers = new Set<unknown>([
  ...[Linear, SparseLinear, Conv1d, Conv2d, SparseConv2d, ConvTranspose2d, BatchNorm1d, BatchNorm2d, LayerNorm, Dropout, Flatten],
  ...Object.values(activations),
  ...Object.values(pooling),
])
const isPlain = (module: Module): boolean => plainLayers.has(module.constructor) && !Object.hasOwn(module, 'forward')

import { type Device, describe, deviceNamed, EspalierError, ensure } from '../native/index.js'
import { isDType, isFloat, isHalf, Tensor } from '../tensor/index.js'
import { afterCopy, type Copy, deepCopy } from './clone.js'
import { addHook, watchForward } from './hooks.js'
import { type ForwardHook, type ForwardPreHook, field, type Internals, internals, join, newInternals, type Removal } from './internals.js'
import { checkedKernels, type MaskedKernels } from './maskedKernels.js'
import { Parameter } from './parameter.js'
import { convertInPlace, loadState, type StateDict, stateOf } from './state.js'
import type { WeightTransform } from './transform.js'

/**
 * A network or a part of one. Subclass it, assign parameters, buffers and other modules to fields, and
 * write `forward`.
 *
 * Fields are the registry: every enumerable field that holds a `Parameter`, a module or an array with
 * modules belongs to the module, in the order of definition; nothing else needs to be declared. A
 * `#private` field is not looked at. Names are the fields' names joined by dots (`layers.0.weight`).
 *
 * @example
 * ```ts
 * import { nn, ops, type Tensor } from 'espalier'
 * class Net extends nn.Module {
 *   fc1 = new nn.Linear(4, 8)
 *   fc2 = new nn.Linear(8, 2)
 *   forward(x: Tensor) {
 *     return this.fc2.forward(ops.relu(this.fc1.forward(x)))
 *   }
 * }
 * Object.keys(new Net().stateDict()) // fc1.weight, fc1.bias, fc2.weight, fc2.bias
 * ```
 */
export abstract class Module {
  /** Whether the module trains (dropout drops, batch norm looks at the batch). Set by `train` and `eval`. */
  training = true;

  /** @internal */
  [internals]: Internals = newInternals()

  /** The computation. Hooks run around it whoever calls it. */
  abstract forward(...inputs: Tensor[]): Tensor

  // What belongs to the module

  /** The module's own parameters (not those of its children), in order. */
  *ownParameters(): Generator<[name: string, parameter: Parameter]> {
    for (const [name, value] of Object.entries(this)) if (value instanceof Parameter && !this[internals].buffers.has(name)) yield [name, value]
  }

  /** The module's own buffers: state that is not learned, such as running means and masks. */
  *ownBuffers({ persistent = false }: { persistent?: boolean } = {}): Generator<[name: string, buffer: Tensor]> {
    for (const [name, kept] of this[internals].buffers) {
      const value = field(this, name)
      if (value instanceof Tensor && (kept.persistent || !persistent)) yield [name, value]
    }
  }

  /** The modules in the module's fields; those of an array are named `field.0`, `field.1`, … */
  *namedChildren(): Generator<[name: string, child: Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Module) yield [name, value]
      else if (Array.isArray(value)) for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item]
    }
  }

  /** The modules in the module's fields, in order. */
  *children(): Generator<Module> {
    for (const [, child] of this.namedChildren()) yield child
  }

  /** The module itself (its name is `prefix`) and all below it, each once, parents first. */
  *namedModules(prefix = '', seen: Set<Module> = new Set()): Generator<[name: string, module: Module]> {
    if (seen.has(this)) return
    seen.add(this)
    yield [prefix, this]
    for (const [name, child] of this.namedChildren()) yield* child.namedModules(join(prefix, name), seen)
  }

  /** The module itself and all below it, each once, parents first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module
  }

  /** Every parameter here and below, each once (one shared by two modules has its first name). */
  *namedParameters(): Generator<[name: string, parameter: Parameter]> {
    const seen = new Set<Parameter>()
    for (const [prefix, module] of this.namedModules())
      for (const [name, parameter] of module.ownParameters()) {
        if (seen.has(parameter)) continue
        seen.add(parameter)
        yield [join(prefix, name), parameter]
      }
  }

  /** Every parameter here and below, each once: what an optimiser takes. */
  parameters(): Parameter[] {
    return Array.from(this.namedParameters(), ([, parameter]) => parameter)
  }

  /** Every buffer here and below. */
  *namedBuffers(): Generator<[name: string, buffer: Tensor]> {
    for (const [prefix, module] of this.namedModules()) for (const [name, buffer] of module.ownBuffers()) yield [join(prefix, name), buffer]
  }

  /** The module of a dotted name, as `namedModules` gives it. */
  getModule(name: string): Module {
    for (const [found, module] of this.namedModules()) if (found === name) return module
    throw new EspalierError('INVALID_ARGUMENT', `getModule: there is no module ${describe(name)} in ${this.constructor.name}`)
  }

  /** Puts a parameter into a field, for names made at run time; null stands for an absent one. */
  registerParameter(name: string, parameter: Parameter | null): void {
    checkName('registerParameter', name)
    ensure(
      parameter === null || parameter instanceof Parameter,
      'INVALID_ARGUMENT',
      () => `registerParameter: ${name} is ${describe(parameter)}, expected a Parameter`,
    )
    ;(this as Record<string, unknown>)[name] = parameter
  }

  /**
   * Puts state that is not learned into a field; it is saved unless `persistent` is false. With `onHost` it
   * stays on the CPU when the module moves to a GPU: a counter that JavaScript reads in every forward pass.
   */
  registerBuffer(name: string, buffer: Tensor | null, { persistent = true, onHost = false }: { persistent?: boolean; onHost?: boolean } = {}): void {
    checkName('registerBuffer', name)
    ensure(buffer === null || buffer instanceof Tensor, 'INVALID_ARGUMENT', () => `registerBuffer: ${name} is ${describe(buffer)}, expected a tensor`)
    ;(this as Record<string, unknown>)[name] = buffer
    this[internals].buffers.set(name, { persistent, onHost })
    buffer?.keep()
  }

  /** Takes a parameter, buffer or module out of the module. */
  unregister(name: string): void {
    delete (this as Record<string, unknown>)[name]
    this[internals].buffers.delete(name)
  }

  // How a weight reaches the forward pass

  /** What `forward` computes with: the parameter after its transforms, on the tape. See `WeightTransform`. */
  effective(name: string): Tensor {
    const path = this[internals].weights.get(name)
    return path === undefined ? (field(this, name) as Tensor) : through(path.transforms, this.latentWeight(name), this)
  }

  /** `effective` of a weight that may be absent, such as a bias: null where it is. */
  effectiveOrNull(name: string): Tensor | null {
    return field(this, this.latentName(name)) == null ? null : this.effective(name)
  }

  /** The parameter a weight starts from, before its transforms: what an optimiser changes. */
  latentWeight(name: string): Parameter {
    const parameter = field(this, this.latentName(name))
    if (parameter instanceof Parameter) return parameter
    throw new EspalierError('INVALID_ARGUMENT', `${this.constructor.name} has no parameter ${describe(name)}`)
  }

  /** The field that holds it: `weight`, or `weight_orig` under a mask. */
  latentName(name: string): string {
    return this[internals].weights.get(name)?.latent ?? name
  }

  /** A weight's transforms in the order they are applied. */
  weightTransforms(name: string): readonly WeightTransform[] {
    return this[internals].weights.get(name)?.transforms ?? []
  }

  /** Puts a transform on a weight's way, behind those of the same or a lower stage. */
  addTransform(name: string, transform: WeightTransform): Removal {
    this.latentWeight(name)
    const { weights } = this[internals]
    const path = weights.get(name) ?? { latent: name, shownBelow: 0, transforms: [] }
    ensure(!path.transforms.includes(transform), 'STATE', () => `addTransform: this ${transform.kind} is on ${name} already`)
    const at = path.transforms.findIndex((other) => other.stage > transform.stage)
    path.transforms = at < 0 ? [...path.transforms, transform] : path.transforms.toSpliced(at, 0, transform)
    weights.set(name, path)
    return { remove: () => this.removeTransform(name, transform) }
  }

  /** Takes a transform off a weight's way; one that is not there is no error. */
  removeTransform(name: string, transform: WeightTransform): void {
    const { weights } = this[internals]
    const path = weights.get(name)
    if (path === undefined) return
    path.transforms = path.transforms.filter((other) => other !== transform)
    if (path.transforms.length === 0 && path.latent === name) weights.delete(name)
  }

  /**
   * Moves a weight's parameter to the field `to`, behind the module's other parameters. From then on
   * the weight's name shows what the transforms below `stage` make of it, computed when it is read.
   * @internal
   */
  moveLatent(name: string, to: string, stage: number): void {
    const parameter = this.latentWeight(name)
    const path = this[internals].weights.get(name) ?? { latent: name, shownBelow: 0, transforms: [] }
    this.unregister(path.latent)
    this.unregister(name)
    this.registerParameter(to, parameter)
    path.latent = to
    path.shownBelow = stage
    this[internals].weights.set(name, path)
    if (to !== name) showWeight(this, name)
    else if (path.transforms.length === 0) this[internals].weights.delete(name)
  }

  // Modes, types, gradients

  /**
   * Sets which kernels the masked layers here and below multiply by: 'auto' takes in each pass what is expected to be
   * the faster for its mask and batch, 'dense' multiplies by all weights, 'sparse' by the kept ones wherever that can be
   * done; on a GPU those of `SparseConv2d`, too, and kernels that 'auto' never takes because they were never timed. Results are the same but for rounding. `nn.explain` says what runs on what.
   *
   * @throws EspalierError INVALID_ARGUMENT for any other name
   */
  maskedKernels(wanted: MaskedKernels): this {
    const checked = checkedKernels(wanted)
    for (const module of this.modules()) module[internals].maskedKernels = checked
    return this
  }

  /** Switches the module and all below it to training (or, with false, to evaluation). */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }

  /** Switches the module and all below it to evaluation. */
  eval(): this {
    return this.train(false)
  }

  /**
   * Moves every parameter and buffer to a device, or converts those that are floats to another dtype, in
   * place: optimisers and tied layers go along. Gradients are dropped.
   *
   * @throws EspalierError DEVICE_MISSING where there is no such device; nothing has moved then
   * @example
   * ```ts
   * import { devices, nn } from 'espalier'
   * const model = new nn.Linear(64, 10)
   * if (devices().some(({ device }) => device === 'cuda')) model.to('cuda')
   * model.weight.device // 'cuda' where there is a GPU
   * ```
   */
  to(target: 'float32' | 'float64' | Device): this {
    if (isDType(target)) {
      ensure(isFloat(target) && !isHalf(target), 'DTYPE_MISMATCH', () => `to: dtype is ${describe(target)}, expected float32 or float64`)
      for (const tensor of tensorsOf(this)) if (isFloat(tensor.dtype)) convertInPlace(tensor, target, tensor.device)
      return this
    }
    const device = deviceNamed('to', target)
    for (const tensor of tensorsOf(this, { movable: true })) convertInPlace(tensor, tensor.dtype, device)
    return this
  }

  /** Calls `visit` with every module below, children first, and at last with the module itself. */
  apply(visit: (module: Module) => void): this {
    for (const child of this.children()) child.apply(visit)
    visit(this)
    return this
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.dropGrad()
  }

  /** Sets whether `backward` collects gradients for the parameters here and below. */
  requiresGrad(wanted = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad = wanted
    return this
  }

  // Saving and copying

  /** Copies of all parameters and persistent buffers, by PyTorch's names: later training leaves them as they are. */
  stateDict(): StateDict {
    return stateOf(this)
  }

  /**
   * Takes over the values of `state`, converted to the dtypes here. All or nothing: a shape that does
   * not fit, and with `strict` a name too many or too few, is an error that names each, and nothing is
   * changed. Without `strict` those names are returned.
   */
  loadStateDict(state: StateDict | ReadonlyMap<string, Tensor>, { strict = true }: { strict?: boolean } = {}): { missing: string[]; unexpected: string[] } {
    return loadState(this, state, strict)
  }

  /**
   * A copy that shares no tensor with this one. Fields are copied deeply (modules, tensors, arrays,
   * maps, plain objects, and objects with a `clone` method; others are shared), what was one object
   * stays one, masks and hooks stay in place. A subclass with `#private` fields overrides it.
   */
  clone(): this {
    return deepCopy(this)
  }

  /** @internal What `deepCopy` does not see among the fields. */
  [afterCopy](from: Module, copy: Copy): void {
    const { buffers, weights, maskedKernels, preHooks, hooks } = from[internals]
    this[internals] = {
      buffers: new Map(buffers),
      weights: new Map(Array.from(weights, ([name, path]) => [name, { ...path, transforms: path.transforms.map(copy) }])),
      maskedKernels,
      preHooks: new Set(preHooks),
      hooks: new Set(hooks),
    }
    for (const [name, { latent }] of weights) if (latent !== name) showWeight(this, name)
    if (preHooks.size + hooks.size > 0) watchForward(this)
  }

  // Hooks

  /** Calls `hook` before every forward pass of this module. */
  registerForwardPreHook(hook: ForwardPreHook): Removal {
    return addHook(this, this[internals].preHooks, hook)
  }

  /** Calls `hook` after every forward pass of this module. */
  registerForwardHook(hook: ForwardHook): Removal {
    return addHook(this, this[internals].hooks, hook)
  }

  // Printing

  /** What `toString` puts between the parentheses: the arguments of the constructor. */
  extraRepr(): string {
    return ''
  }

  /** The module and all below it, a line each, as PyTorch prints one. */
  toString(): string {
    const lines = Array.from(this.namedChildren(), ([name, child]) => `  (${name}): ${child.toString().replaceAll('\n', '\n  ')}\n`)
    const extra = this.extraRepr()
    if (lines.length === 0) return `${this.constructor.name}(${extra})`
    return `${this.constructor.name}(\n${extra === '' ? '' : `  ${extra}\n`}${lines.join('')})`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

/** Every parameter and buffer of a module and below; `movable`: without what stays on the CPU. */
function* tensorsOf(root: Module, { movable = false } = {}): Generator<Tensor> {
  for (const module of root.modules()) {
    for (const [, parameter] of module.ownParameters()) yield parameter
    for (const [name, buffer] of module.ownBuffers()) if (!movable || !module[internals].buffers.get(name)?.onHost) yield buffer
  }
}

function checkName(operation: string, name: unknown): void {
  ensure(
    typeof name === 'string' && name !== '' && name !== '__proto__' && !name.includes('.'),
    'INVALID_ARGUMENT',
    () => `${operation}: the name is ${describe(name)}, expected one without dots`,
  )
}

const through = (transforms: readonly WeightTransform[], weight: Tensor, module: Module): Tensor =>
  transforms.reduce((value, transform) => transform.apply(value, module), weight)

/** Lets a moved weight's name show the weight; not enumerable, so that it is no entry of the registry. */
function showWeight(module: Module, name: string): void {
  Object.defineProperty(module, name, {
    configurable: true,
    enumerable: false,
    get(this: Module): Tensor {
      const { transforms, shownBelow } = this[internals].weights.get(name) as { transforms: readonly WeightTransform[]; shownBelow: number }
      return through(
        transforms.filter((transform) => transform.stage < shownBelow),
        this.latentWeight(name),
        this,
      )
    },
  })
}

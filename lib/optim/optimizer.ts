import { cudaInUse, describe, EspalierError, ensure, MaskRule, native, type Storage } from '../native/index.js'
import { aloneIn, formatShape, gathered, isFloat, isHalf, type KeptEntries, KeptTensor, sameShape, Tensor, tensor, zeros } from '../tensor/index.js'
import type { Settings } from './settings.js'
import { type ParameterState, State } from './state.js'

/** Parameters that share settings. Settings may be changed between steps; they are checked at each. */
export type ParamGroup<Options> = Options & {
  readonly params: Tensor[]
  /** The learning rate a schedule started from. */
  initialLr?: number
}

/** What an optimiser is built from: parameters, or groups of them with settings of their own. */
export type ParamsOf<Options> = Iterable<Tensor> | Iterable<Partial<Options> & { params: Iterable<Tensor> | Tensor }>

/** The mask of a parameter as the kernels take it. */
export interface UpdateMask {
  readonly storage: Storage | null
  readonly rule: MaskRule
}

/** The state of an optimiser, to be saved; parameters are numbered through all groups. */
export interface OptimizerState {
  state: Record<number, { step: number } & Record<string, Tensor | number>>
  paramGroups: (Record<string, unknown> & { params: number[] })[]
}

const unmasked: UpdateMask = { storage: null, rule: MaskRule.gradient }

/**
 * What all update rules share: groups of parameters, settings, state, masks. A rule adds its settings
 * and what one step does to one parameter.
 */
export abstract class Optimizer<Options extends { lr: number }> {
  readonly paramGroups: ParamGroup<Options>[] = []
  /** @internal */
  readonly state = new Map<Tensor, State>()
  readonly #masks = new WeakMap<Tensor, { mask: Tensor; rule: MaskRule }>()
  readonly #settings: Settings<Options>
  readonly #defaults: Options
  readonly #name: string

  protected constructor(name: string, params: ParamsOf<Options>, options: Partial<Options>, settings: Settings<Options>) {
    this.#name = name
    this.#settings = settings
    this.#defaults = this.#complete(options, undefined)
    for (const group of asGroups(name, params)) this.addParamGroup(group as Partial<Options> & { params: Iterable<Tensor> | Tensor })
    ensure(this.paramGroups.length > 0, 'INVALID_ARGUMENT', () => `${name}: there are no parameters`)
  }

  /**
   * Whether an entry without a gradient, whose running means are 0, stays as it is, and they stay 0. Then an update
   * may leave out what a mask leaves out.
   */
  protected rests(_: ParamGroup<Options>): boolean {
    return false
  }

  /** Updates one parameter in place; arguments are checked. */
  protected abstract update(parameter: Tensor, gradient: Storage, group: ParamGroup<Options>, state: ParameterState, mask: UpdateMask): void

  /** Adds parameters with settings of their own; what is missing is the optimiser's. */
  addParamGroup(group: Partial<Options> & { params: Iterable<Tensor> | Tensor }): void {
    const { params, ...options } = group
    const list = params instanceof Tensor ? [params] : [...params]
    const known = new Set(this.paramGroups.flatMap(({ params }) => params))
    for (const parameter of list) {
      ensure(parameter instanceof Tensor, 'INVALID_ARGUMENT', () => `${this.#name}: a parameter is ${describe(parameter)}, expected a tensor`)
      ensure(
        isFloat(parameter.dtype) && !isHalf(parameter.dtype),
        'DTYPE_MISMATCH',
        () => `${this.#name}: a parameter is ${parameter.dtype}, expected float32 or float64`,
      )
      ensure(
        parameter.origin === null,
        'INVALID_ARGUMENT',
        () => `${this.#name}: a parameter of shape ${formatShape(parameter.shape)} is the result of an operation, expected a leaf`,
      )
      ensure(
        !known.has(parameter),
        'INVALID_ARGUMENT',
        () => `${this.#name}: a parameter of shape ${formatShape(parameter.shape)} is in two groups, or twice in one`,
      )
      known.add(parameter)
    }
    const settings = this.#complete(options as unknown as Partial<Options>, this.#defaults)
    this.paramGroups.push({ ...settings, params: list })
  }

  /** Forgets every gradient. */
  zeroGrad(): void {
    for (const { params } of this.paramGroups) for (const parameter of params) parameter.dropGrad()
  }

  /**
   * One step for every parameter that has a gradient. Settings and gradients are checked first: a
   * step that throws has changed nothing.
   */
  step(): void {
    for (const group of this.paramGroups) {
      this.#check(group)
      for (const parameter of group.params) {
        const gradient = parameter.peekGrad()
        if (gradient !== null) this.#checkGradient(parameter, gradient)
      }
    }
    for (const group of this.paramGroups)
      for (const parameter of group.params) {
        const gradient = parameter.peekGrad()
        if (gradient === null) continue
        let state = this.state.get(parameter)
        if (state === undefined) {
          state = new State()
          this.state.set(parameter, state)
        }
        state.step++
        if (gradient instanceof KeptTensor && gradient.values !== null && this.#leavesOut(parameter, gradient.entries, group, state))
          this.#updateKept(parameter, gradient.values, gradient.entries, group, state)
        else this.update(parameter, gradient.storage, group, state, this.#maskOf(parameter))
      }
  }

  /** Whether the update of a parameter may leave out all but some entries: nothing becomes of the others. */
  #leavesOut(parameter: Tensor, entries: KeptEntries, group: ParamGroup<Options>, state: State): boolean {
    if (parameter.device !== 'cpu') return false
    const masked = this.#masks.get(parameter)
    if (masked !== undefined && masked.mask !== entries.mask) return false
    if (masked?.rule === MaskRule.freeze) return true
    return this.rests(group) && state.restsOutside(entries)
  }

  /** An update of the kept entries, as if they were a parameter of their own. */
  #updateKept(parameter: Tensor, gradient: Tensor, entries: KeptEntries, group: ParamGroup<Options>, state: State): void {
    const alone = aloneIn(parameter, entries)
    const values = alone ?? gathered(parameter, entries)
    this.update(values, gradient.storage, group, state.of(entries), unmasked)
    if (alone !== null) return
    native.scatterKept(values.storage, entries.positions, parameter.storage)
    values.release()
  }

  /**
   * Makes every step of a parameter pass through a mask of its shape and dtype, within the update's
   * own pass over memory; null takes it away. With `freeze` (the default) an entry whose mask is 0
   * stays as it is, its state too; else the gradient is multiplied by the mask, and decay and
   * momentum still move what is masked.
   */
  setMask(parameter: Tensor, mask: Tensor | null, { freeze = true }: { freeze?: boolean } = {}): void {
    ensure(
      this.paramGroups.some(({ params }) => params.includes(parameter)),
      'INVALID_ARGUMENT',
      () => `${this.#name}.setMask: the tensor is not one of this optimiser's parameters`,
    )
    if (mask === null) {
      this.#masks.delete(parameter)
      return
    }
    ensure(
      mask instanceof Tensor && sameShape(mask.shape, parameter.shape) && mask.dtype === parameter.dtype,
      'SHAPE_MISMATCH',
      () =>
        `${this.#name}.setMask: the mask is ${mask instanceof Tensor ? `${mask.dtype} ${formatShape(mask.shape)}` : describe(mask)}, the parameter ${parameter.dtype} ${formatShape(parameter.shape)}`,
    )
    this.#masks.set(parameter, { mask, rule: freeze ? MaskRule.freeze : MaskRule.gradient })
  }

  /** Settings and running means, as copies. */
  stateDict(): OptimizerState {
    const numbers = new Map(this.paramGroups.flatMap(({ params }) => params).map((parameter, i) => [parameter, i]))
    const state: OptimizerState['state'] = {}
    for (const [parameter, { step, slots }] of this.state) {
      const copies = Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, slot.copy()]))
      state[numbers.get(parameter) as number] = { step, ...copies } as OptimizerState['state'][number]
    }
    const paramGroups = this.paramGroups.map(({ params, ...settings }) => ({
      ...(settings as Record<string, unknown>),
      params: params.map((parameter) => numbers.get(parameter) as number),
    }))
    return { state, paramGroups }
  }

  /** Takes over a saved state; groups and shapes must be those of this optimiser. */
  loadStateDict(saved: OptimizerState): void {
    const where = `${this.#name}.loadStateDict`
    const sizes = (groups: readonly { params: readonly unknown[] }[]) => groups.map(({ params }) => params.length).join(', ')
    ensure(
      Array.isArray(saved?.paramGroups) && sizes(saved.paramGroups) === sizes(this.paramGroups),
      'SHAPE_MISMATCH',
      () => `${where}: the saved groups do not have ${sizes(this.paramGroups)} parameters as the optimiser's do`,
    )
    const settings = saved.paramGroups.map(({ params: _, initialLr, ...options }) => ({
      ...this.#complete(options as Partial<Options>, this.#defaults),
      ...(initialLr === undefined ? {} : { initialLr: initialLr as number }),
    }))
    const parameters = new Map<number, Tensor>()
    saved.paramGroups.forEach(({ params }, i) => {
      params.forEach((number, j) => {
        parameters.set(number, this.paramGroups[i].params[j])
      })
    })
    const state = new Map<Tensor, State>()
    for (const [number, { step, ...slots }] of Object.entries(saved.state)) {
      const parameter = parameters.get(Number(number))
      ensure(parameter !== undefined, 'SHAPE_MISMATCH', () => `${where}: there is no parameter ${number}`)
      const copies: Record<string, Tensor> = {}
      for (const [name, slot] of Object.entries(slots)) {
        ensure(
          slot instanceof Tensor && sameShape(slot.shape, parameter.shape) && slot.dtype === parameter.dtype,
          'SHAPE_MISMATCH',
          () => `${where}: ${name} of parameter ${number} is not a ${parameter.dtype} tensor of shape ${formatShape(parameter.shape)}`,
        )
        copies[name] = slot.copy()
      }
      const made = new State()
      made.step = step
      Object.assign(made.slots, copies)
      state.set(parameter, made)
    }
    settings.forEach((made, i) => {
      Object.assign(this.paramGroups[i], made)
    })
    this.state.clear()
    for (const [parameter, made] of state) this.state.set(parameter, made)
  }

  /** A parameter's mask, on its device. */
  #maskOf(parameter: Tensor): UpdateMask {
    const found = this.#masks.get(parameter)
    if (found === undefined) return unmasked
    if (found.mask.device !== parameter.device) found.mask = tensor(found.mask, { device: parameter.device }).keep()
    return { storage: found.mask.storage, rule: found.rule }
  }

  #check(group: Options): void {
    for (const name in this.#settings) this.#settings[name][1](`${this.#name}: ${name}`, group[name])
  }

  #complete(options: Partial<Options>, defaults: Options | undefined): Options {
    for (const name of Object.keys(options))
      ensure(
        name in this.#settings || name === 'initialLr',
        'INVALID_ARGUMENT',
        () => `${this.#name}: there is no option ${name}, only ${Object.keys(this.#settings).join(', ')}`,
      )
    const complete = {} as Options
    for (const name in this.#settings) {
      const [fallback, check] = this.#settings[name]
      complete[name] = check(`${this.#name}: ${name}`, options[name] ?? defaults?.[name] ?? fallback)
    }
    return complete
  }

  #checkGradient(parameter: Tensor, gradient: Tensor): void {
    ensure(
      gradient.dtype === parameter.dtype && sameShape(gradient.shape, parameter.shape),
      'SHAPE_MISMATCH',
      () => `${this.#name}: a gradient is ${gradient.dtype} ${formatShape(gradient.shape)}, its parameter ${parameter.dtype} ${formatShape(parameter.shape)}`,
    )
    if (cudaInUse())
      ensure(
        gradient.device === parameter.device,
        'DEVICE_MISMATCH',
        () => `${this.#name}: a gradient is on ${gradient.device}, its parameter on ${parameter.device}`,
      )
  }
}

/** A running mean of a parameter, zero at first; it follows a parameter that was converted to another dtype, or moved. */
export function slot(state: ParameterState, name: string, parameter: Tensor): Storage {
  let mean = state.slots[name]
  const { shape, dtype, device } = parameter
  if (mean === undefined || mean.dtype !== dtype || mean.device !== device) {
    mean = (mean === undefined ? zeros(shape, { dtype, device }) : tensor(mean, { dtype, device })).keep()
    state.slots[name] = mean
  }
  return mean.storage
}

function asGroups(name: string, params: unknown): { params: Iterable<Tensor> | Tensor }[] {
  ensure(
    typeof params === 'object' && params !== null && Symbol.iterator in params,
    'INVALID_ARGUMENT',
    () => `${name}: the parameters are ${describe(params)}, expected a list of tensors or of groups`,
  )
  const list = [...(params as Iterable<unknown>)]
  if (list.length === 0) return []
  const group = (item: unknown): item is { params: Iterable<Tensor> } =>
    typeof item === 'object' && item !== null && !(item instanceof Tensor) && 'params' in item
  if (list.every(group)) return list
  if (list.some(group)) throw new EspalierError('INVALID_ARGUMENT', `${name}: the parameters mix tensors and groups`)
  return [{ params: list as Tensor[] }]
}

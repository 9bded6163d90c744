import { cudaInUse, type Device, describe, EspalierError, mixed, type Storage } from '../native/index.js'
import type { Shape } from '../tensor/index.js'
import { placedOn, recycle, Tensor } from '../tensor/index.js'
import { gradEnabled, record } from './tape.js'

/** What a backward rule may look at: the call as it was made, and what the forward rule kept. */
export interface Call<Arguments extends readonly unknown[], Saved> {
  readonly args: Arguments
  readonly output: Tensor
  readonly saved: Saved
  /** For each tensor among the arguments, in order: whether its gradient is wanted. */
  readonly needs: readonly boolean[]
}

/** Makes a tensor of float64 test values, reproducibly; by default in ±2 and not within .05 of 0. */
export type Sample = (
  shape: Shape,
  range?: {
    min?: number
    max?: number
    /** Points where the operation has a kink: no value falls within .05 of one. Default [0]. */
    avoid?: readonly number[]
    /** No two values within .01 of each other, for operations that choose a largest one. */
    distinct?: boolean
    /** Whole numbers in [min, max), int32, without a gradient: labels, indices. */
    integer?: boolean
  },
) => Tensor

/** One operation: what it computes, how gradients pass, and the calls its gradient is checked on. */
export interface OpSpec<Arguments extends readonly unknown[], Saved> {
  /** As the field writes it, in snake_case; it labels the tape and the goldens. */
  name: string
  /**
   * Checks the arguments and computes the result; may keep something for the backward rule. `held` is storage among
   * that which nothing else refers to: it is used again once no rule will ask for it.
   */
  forward(...args: Arguments): Tensor | { output: Tensor; saved: Saved; held?: Storage }
  /**
   * The gradient for each tensor among the arguments (arrays of tensors are flattened), in order;
   * null where none is needed. `grad` has the output's shape and must not be written to, unless it is the
   * walk's `own`. A rule returns new storage or `grad`'s own (whole, in whatever shape), never that of an
   * operand or of what was saved: the walk reuses what it is given. Absent where the operation has no gradient.
   */
  backward?(grad: Tensor, call: Call<Arguments, Saved>, own?: boolean): readonly (Tensor | null)[]
  /**
   * Set where every element of the output is an element of the first operand, or 0: reshaping, slicing,
   * taking maxima. Integer codes behind the values then stay known.
   */
  selects?: true
  /**
   * Set where the backward rule is deliberately not the derivative (a straight-through estimator): the
   * gradient check leaves it out, and a test of its own states what it must give.
   */
  estimator?: true
  /** At least twenty calls, sizes 0 and 1 and non-multiples of vector widths among them. */
  cases(sample: Sample): Arguments[]
}

export type Op<Arguments extends readonly unknown[]> = ((...args: Arguments) => Tensor) & { readonly spec: OpSpec<Arguments, unknown> }

/** Every operation, by name: for the gradient tests and for tracing. */
export const operations = new Map<string, Op<readonly never[]>>()

/** Called for each operation applied while tracing; see graph/. */
export type Tracer = (name: string, args: readonly unknown[], output: Tensor) => void
let tracer: Tracer | null = null
// How many operations are computing right now; counted while tracing alone.
let computing = 0

/** Runs `body` with `observe` told of every operation it applies. */
export function traced<T>(observe: Tracer, body: () => T): T {
  const before = { tracer, computing }
  tracer = observe
  computing = 0
  try {
    return body()
  } finally {
    ;({ tracer, computing } = before)
  }
}

/** Whether operations are being traced: results are then held by the tracer too. */
export const tracing = (): boolean => tracer !== null

/** Whether, while tracing, an operation is at work: what it looks at is its own affair. */
export const insideOperation = (): boolean => computing > 0

/** Turns a specification into the function users call, recorded on the tape where needed. */
export function defineOp<Arguments extends readonly unknown[], Saved = undefined>(spec: OpSpec<Arguments, Saved>): Op<Arguments> {
  const op = (...args: Arguments): Tensor => {
    // While no GPU is in use everything is on the CPU, and nothing is looked at for it.
    const device = cudaInUse() ? commonDevice(spec.name, args) : null
    if (tracer !== null) computing++
    const result = device === null ? spec.forward(...args) : placedOn(device, () => spec.forward(...args))
    if (tracer !== null) computing--
    const made = result instanceof Tensor
    const [output, held] = made ? [result, undefined] : [result.output, result.held]
    if (spec.selects) keepCodes(args[0], output)
    if (tracer !== null) tracer(spec.name, args, output)
    if (spec.backward !== undefined && gradEnabled()) {
      const inputs = tensorsOf(args)
      const needs = inputs.map(wantsGradient)
      if (needs.includes(true)) {
        recordCall(spec, { args, output, saved: (made ? undefined : result.saved) as Saved, needs }, inputs, device, held)
        return output
      }
    }
    if (held !== undefined) recycle(held)
    return output
  }
  const defined = Object.assign(op, { spec }) as Op<Arguments>
  if (operations.has(spec.name)) throw new EspalierError('INTERNAL', `two operations are named ${spec.name}`)
  operations.set(spec.name, defined as unknown as Op<readonly never[]>)
  return defined
}

const wantsGradient = (input: Tensor): boolean => input.requiresGrad

// Apart from the operation itself: what a closure is made in is kept for it, call after call.
function recordCall<Arguments extends readonly unknown[], Saved>(
  { name, backward }: OpSpec<Arguments, Saved>,
  call: Call<Arguments, Saved>,
  inputs: readonly Tensor[],
  device: Device | null,
  held?: Storage,
): void {
  const rule = backward as NonNullable<typeof backward>
  const backwardRule: Parameters<typeof record>[3] =
    device === null ? (grad, own) => rule(grad, call, own) : (grad, own) => placedOn(device, () => rule(grad, call, own))
  record(name, inputs, call.output, backwardRule, held)
}

/** The device of the tensors among the arguments, on which the operation makes its own; an error where they are on several. */
function commonDevice(name: string, args: readonly unknown[]): Device | null {
  let device: Device | null = null
  for (const tensor of tensorsOf(args)) {
    if (device !== null && tensor.device !== device) throw mixed(name, device, tensor.device)
    device = tensor.device
  }
  return device
}

function keepCodes(from: unknown, to: Tensor): void {
  const quantisation = from instanceof Tensor ? from.quantisation : null
  if (quantisation !== null && quantisation.scale.size === 1) to.quantisation = quantisation
}

function tensorsOf(args: readonly unknown[]): Tensor[] {
  const found: Tensor[] = []
  for (const argument of args) {
    if (argument instanceof Tensor) found.push(argument)
    else if (Array.isArray(argument)) for (const item of argument) if (item instanceof Tensor) found.push(item)
  }
  return found
}

/** The argument as a tensor, else an error: operations are called from JavaScript too. */
export function asTensor(operation: string, name: string, value: unknown): Tensor {
  if (value instanceof Tensor) return value
  throw new EspalierError('INVALID_ARGUMENT', `${operation}: ${name} is ${describe(value)}, expected a tensor`)
}

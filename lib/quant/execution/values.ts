import type { Op } from '../../autograd/index.js'
import { EspalierError } from '../../native/index.js'
import { reshape } from '../../ops/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'
import type { Expression, Operand } from './expression.js'

// What a tensor of the forward pass is to a program.

/** Floats in front of the first quantiser. */
export interface InputValue {
  readonly kind: 'input'
  readonly of: (x: Tensor) => Tensor
}

/** A function of integers, element by element. */
export interface IntegerValue {
  readonly kind: 'integers'
  readonly expression: Expression
  /** The forward pass's own value, where the expression has slack. */
  readonly exact?: FloatValue
}

/** Floats that depend on integers in any other way: an output they may be, but codes not, for the reason given. */
export interface FloatValue {
  readonly kind: 'floats'
  readonly operands: readonly Operand[]
  readonly of: (integers: readonly Tensor[]) => Tensor
  readonly because: string
}

export type Value = InputValue | IntegerValue | FloatValue

/** One operation of a forward pass: with what is known of each of its arguments, and of each item of those that are arrays. */
export interface Applied {
  readonly op: Op<readonly never[]>
  readonly args: readonly unknown[]
  readonly found: readonly (Value | undefined | (Value | undefined)[])[]
  /** One sample's shape of the result. */
  readonly shape: Shape
}

/** Operations that change the shape alone. They name it with the number of samples they were read with. */
export const shapeless: ReadonlySet<string> = new Set(['reshape', 'flatten'])

/** The operation again, on values that are computed anew. */
function again({ op, args, found, shape }: Applied, compute: (value: Value) => Tensor): Tensor {
  if (shapeless.has(op.spec.name)) {
    const x = compute(found[0] as Value)
    return reshape(x, [x.shape[0], ...shape])
  }
  const given = args.map((argument, i) => {
    const here = found[i]
    if (Array.isArray(here)) return (argument as unknown[]).map((item, j) => (here[j] === undefined ? item : compute(here[j])))
    return here === undefined ? argument : compute(here)
  })
  return op(...(given as never[]))
}

export const inputValue = (applied: Applied): InputValue => ({
  kind: 'input',
  of: (x) => again(applied, (value) => (value as InputValue).of(x)),
})

const operandsOf = (value: Value): readonly Operand[] =>
  value.kind === 'integers' ? (value.exact ?? value.expression).operands : value.kind === 'floats' ? value.operands : []

export function floatValue(applied: Applied, because: string): FloatValue {
  const values = applied.found.flat().filter((value) => value !== undefined)
  const operands = [...new Map(values.flatMap(operandsOf).map((operand) => [operand.slot, operand])).values()]
  const compute = (value: Value, integers: readonly Tensor[]): Tensor => {
    if (value.kind === 'input') throw new EspalierError('INVALID_ARGUMENT', `integerNetwork: the output depends on inputs that are not quantised: ${because}`)
    const own = operandsOf(value).map(({ slot }) => integers[operands.findIndex((operand) => operand.slot === slot)])
    const { of, shape } = value.kind === 'floats' ? { of: value.of, shape: null } : { of: (value.exact ?? value.expression).of, shape: value.expression.shape }
    const result = of(own)
    return shape === null ? result : reshape(result, [result.shape[0], ...shape])
  }
  return { kind: 'floats', operands, because, of: (integers) => again(applied, (value) => compute(value, integers)) }
}

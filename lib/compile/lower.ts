import { operations } from '../autograd/index.js'
import type { Graph, Node, Value } from '../graph/index.js'
import { formatDimensions, isMultiple, valuesOf } from '../graph/index.js'
import { EspalierError, ensure } from '../native/index.js'
import { hostValues } from '../tensor/index.js'
import { lowerings } from './lowerings/index.js'
import { type Plan, Ref, type Step, type Work } from './plan.js'

/** How a value that a quantiser made is wanted: as it is, or as the integers behind it. */
export type Form = 'real' | 'codes'

/** What a lowering works with: the operation, and what it may ask for and make. */
export class Lowering {
  constructor(
    readonly node: Node,
    readonly form: Form,
    private readonly plan: Planner,
  ) {}

  /** The dimensions of a value for one sample. */
  dims(value: Value): readonly number[] {
    return dimsOf(value, this.node.op)
  }
  get outDims(): readonly number[] {
    return this.dims(this.node.output)
  }
  /** The argument at a place as a value that depends on the input. */
  value(place: number): Value {
    const value = this.node.args[place] as Value
    if (value?.kind === 'constant' || value?.shape === undefined)
      throw this.refusal(`its argument ${place + 1} is a constant, which is not supported in that place`)
    return value
  }
  ref(value: Value, form: Form = this.form): Ref {
    return this.plan.ref(value, form)
  }
  /** The codes behind a value that a quantiser made, where they can be had. */
  codes(value: Value): Ref | null {
    return this.plan.codes(value)
  }
  /** A constant's values. */
  constant(value: Value): Float32Array {
    const { tensor } = value
    if (tensor === null) throw this.refusal('it is given a value that depends on the input where only a constant is supported')
    return Float32Array.from(hostValues(tensor.storage))
  }
  optional(value: unknown): Float32Array | null {
    return value === null || value === undefined ? null : this.constant(value as Value)
  }
  /** Adds a step that writes a new value, or one given. `operation` names it where it is not all of the node's. */
  emit(x: Ref | null, work: Work, { y = new Ref(this.outDims), operation = this.node.op }: { y?: Ref; operation?: string } = {}): Ref {
    return this.plan.emit({ layer: layerOf(this.node), operation, x, y, work })
  }
  refusal(why: string): EspalierError {
    const { op, output } = this.node
    return new EspalierError('STATE', `compile: ${op} (${output.name}, ${formatDimensions(output.shape)}) cannot be compiled: ${why}`)
  }
}

/** What an operation becomes: the value that holds its result. */
export type Lower = (of: Lowering) => Ref

/** A graph as steps, in an order in which they can be run. */
export function lower(graph: Graph): Plan {
  const planner = new Planner(graph)
  const output = planner.ref(graph.output, 'real')
  return {
    input: planner.input,
    steps: planner.steps,
    output: output === planner.input ? planner.copy(output) : output,
    outputShape: dimsOf(graph.output, 'what forward returns'),
  }
}

/** Operations whose results are codes times a scale. */
const quantisers: ReadonlySet<string> = new Set(['fake_quant', 'fake_quant_by_threshold', 'requantise'])

class Planner {
  readonly input: Ref
  readonly steps: Step[] = []
  private readonly made: Record<Form, Map<Value, Ref>> = { real: new Map(), codes: new Map() }

  constructor({ input }: Graph) {
    this.input = new Ref(dimsOf(input, 'the input'))
    this.made.real.set(input, this.input)
  }

  /** Where a value stands; what makes it is lowered at the first call. */
  ref(value: Value, form: Form): Ref {
    const known = this.made[form].get(value)
    if (known !== undefined) return known
    const { node } = value
    ensure(node !== null, 'INTERNAL', () => `compile: ${value.name} is made by nothing`)
    const lowering = new Lowering(node, form, this)
    const rule = lowerings.get(node.op)
    if (rule === undefined) throw lowering.refusal('there is no native step for it')
    ensure(value.dtype === 'float32', 'DTYPE_MISMATCH', () => `compile: ${node.op} gives ${value.dtype}, a program computes in float32`)
    const ref = rule(lowering)
    this.made[form].set(value, ref)
    return ref
  }

  codes(value: Value): Ref | null {
    const { node, quantisation } = value
    if (quantisation === null || quantisation.scale.size !== 1 || node === null) return null
    // A quantiser makes codes; an operation that only chooses among elements chooses among codes as well.
    for (let at: Node | null = node; at !== null; at = valuesOf(at.args)[0].node) {
      if (quantisers.has(at.op)) return this.ref(value, 'codes')
      if (!operations.get(at.op)?.spec.selects) return null
    }
    return null
  }

  emit(step: Step): Ref {
    this.steps.push(step)
    return step.y
  }

  /** A network that does nothing still writes its output. */
  copy(x: Ref): Ref {
    const view = { strides: [1], offset: 0 }
    return this.emit({ layer: '', operation: 'copy', x, y: new Ref(x.shape), work: { kind: 'move', dims: [x.size], from: view, to: view } })
  }
}

function dimsOf({ shape, name }: Value, op: string): readonly number[] {
  const [first, ...rest] = shape
  if (!isMultiple(first) || rest.some(isMultiple))
    throw new EspalierError(
      'STATE',
      `compile: ${op} cannot be compiled: ${name} has shape ${formatDimensions(shape)}, expected the batch n in its first dimension and only there`,
    )
  return [first.batch, ...(rest as number[])]
}

/** The module whose parameters an operation takes, by the first of them: conv1 for conv1.weight. */
function layerOf(node: Node): string {
  for (const { sources } of valuesOf(node.args)) if (sources.length > 0) return sources[0].split('.').slice(0, -1).join('.')
  return ''
}

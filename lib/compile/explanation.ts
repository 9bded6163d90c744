import type { IntegerRange } from '../quant/index.js'
import { micro, percent, table } from '../tensor/index.js'

/** A step of a program: what runs, on what, and for how long. Times are nanoseconds. */
export interface ExplainedStep {
  /** The layer whose weights it has, else empty. */
  readonly layer: string
  /** The operations it stands for, those fused into it among them. */
  readonly operation: string
  /** How the weights are held: 'dense', 'sparse', …; absent for steps without a choice. */
  readonly format?: string
  /** What multiplies by them; of integers with the width of its sums. */
  readonly kernel?: string
  readonly rows?: number
  readonly columns?: number
  /** The share of weights that are not 0. */
  readonly density?: number
  /** The integers that its input holds, where it sums integers. */
  readonly codes?: IntegerRange
  /**
   * What its accumulators can hold while they sum those, and the width of two's complement that takes: proved, as
   * `quant.certify` does, where the program was made or loaded, from its weights and the range of the codes.
   */
  readonly sums?: IntegerRange
  readonly accumulatorBits?: number
  /** Bytes that the weights take in this format, its machine code among them. */
  readonly bytes?: number
  /** What the cost model expects of this format, and of those that were not taken. */
  readonly predicted?: number
  readonly others?: Readonly<Record<string, number>>
  /** What was spent so far on making the weights ready in this format, its machine code among them: measured. */
  readonly making?: number
  /** Whether the format was found by measurement. */
  readonly tuned?: boolean
  /** The median of what it took, where it was measured. */
  readonly measured?: number
  /** The least time that the arithmetic of the kept weights asks of a core in float32, over the measured time; kernels of integers may take less. Absent on a GPU. */
  readonly limit?: number
}

/** What a program runs on, and why; prints as a table. */
export class Explanation {
  /** The instruction set that runs it: avx512, …; of a GPU its compute capability, as sm_90. */
  readonly isa!: string
  readonly batch!: number
  /** Samples that go through the network together; larger batches are cut into such pieces. */
  readonly together!: number
  /** Bytes of working memory a sample; and what it would be if no two values shared a place. */
  readonly memory!: number
  readonly memoryUnshared!: number
  readonly steps!: readonly ExplainedStep[]

  constructor(told: Omit<Explanation, 'toString'>) {
    Object.assign(this, told)
  }

  toString(): string {
    const steps = table(this.steps, {
      layer: ({ layer }) => layer,
      operation: ({ operation }) => operation,
      format: ({ format }) => format,
      kernel: ({ kernel }) => kernel,
      density: ({ density }) => percent(density),
      'sum bits': ({ accumulatorBits }) => accumulatorBits,
      'made µs': ({ making }) => micro(making, 1),
      'predicted µs': ({ predicted }) => micro(predicted, 2),
      'measured µs': ({ measured }) => micro(measured, 2),
      'of limit': ({ limit }) => percent(limit),
    })
    const { isa, batch, together, memory, memoryUnshared } = this
    return `batch ${batch}${together < batch ? `, ${together} at a time` : ''} on ${isa}; ${memory} bytes a sample (${memoryUnshared} unshared)\n${steps}`
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

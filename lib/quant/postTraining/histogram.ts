// What an observer knows of the values it has seen: how many fell where, at a resolution that their number
// does not change.

/** Bins on each side of 0. */
const bins = 2048
/** A magnitude below the least of float32 is no value of a network's, and has no bins. */
const smallest = 2 ** -150

/** Values with a count, in place of all those that fell into a bin. */
export interface Occupied {
  /** The centre of the bin. */
  readonly value: number
  readonly count: number
}

/**
 * A histogram of a stream of values. Each sign has its bins, of equal width from 0 to `top`; `top` starts at
 * the largest magnitude of the first values and doubles where a larger one comes, two bins becoming one.
 * Zeros are counted apart: every quantiser has a code for them.
 */
export class Histogram {
  /** Values seen, and zeros among them. */
  total = 0
  zeros = 0
  /** The largest magnitude. */
  largest = 0
  /** Where the last bin ends. */
  top = 0
  readonly positive = new Float64Array(bins)
  readonly negative = new Float64Array(bins)

  /** @param values finite numbers */
  add(values: ArrayLike<number>): void {
    for (let i = 0; i < values.length; i++) if (Math.abs(values[i]) >= smallest) this.largest = Math.max(this.largest, Math.abs(values[i]))
    this.total += values.length
    if (this.top === 0) this.top = this.largest
    while (this.top < this.largest) this.double()
    const perUnit = bins / this.top
    for (let i = 0; i < values.length; i++) {
      const value = values[i]
      if (Math.abs(value) < smallest) this.zeros++
      else (value > 0 ? this.positive : this.negative)[Math.min(bins - 1, Math.floor(Math.abs(value) * perUnit))]++
    }
  }

  /** Whether a value below 0 was seen. */
  get signed(): boolean {
    return this.negative.some((count) => count > 0)
  }

  /** Width of a bin. */
  get width(): number {
    return this.top / bins
  }

  /** The counts by magnitude, both signs together. */
  magnitudes(): Float64Array {
    return this.positive.map((count, i) => count + this.negative[i])
  }

  /** The bins that are not empty. */
  occupied(): Occupied[] {
    const { width } = this
    const side = (counts: Float64Array, sign: number): Occupied[] =>
      Array.from(counts, (count, i) => ({ value: sign * (i + 0.5) * width, count })).filter(({ count }) => count > 0)
    return [...side(this.negative, -1), ...side(this.positive, 1)]
  }

  private double(): void {
    this.top *= 2
    for (const counts of [this.positive, this.negative]) {
      for (let i = 0; i < bins / 2; i++) counts[i] = counts[2 * i] + counts[2 * i + 1]
      counts.fill(0, bins / 2)
    }
  }
}

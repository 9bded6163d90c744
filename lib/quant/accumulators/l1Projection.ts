import { realNumber } from '../../native/index.js'

/**
 * The point nearest to v of those with an L1 norm of at most `radius`: every magnitude less by the same
 * amount, those below it 0. What lies inside already is given back as it is. Duchi et al. 2008,
 * "Efficient projections onto the l1-ball for learning in high dimensions", figure 1.
 *
 * @param radius ≥ 0
 */
export function l1Projection(v: ArrayLike<number>, radius: number): Float64Array {
  realNumber('l1Projection: radius', radius, 0)
  const point = Float64Array.from(v)
  const excess = shrinkage(point.map(Math.abs), radius)
  return excess === 0 ? point : point.map((value) => Math.sign(value) * Math.max(0, Math.abs(value) - excess))
}

/** The least amount ≥ 0 for which Σ max(0, magnitude − amount) ≤ radius. */
export function shrinkage(magnitudes: Float64Array, radius: number): number {
  if (magnitudes.reduce((sum, magnitude) => sum + magnitude, 0) <= radius) return 0
  // The larger ones share the excess; one more takes part as long as it is above their share.
  let [sum, amount] = [0, 0]
  for (const [i, magnitude] of magnitudes.slice().sort().reverse().entries()) {
    const share = (sum + magnitude - radius) / (i + 1)
    if (share >= magnitude) return i === 0 ? magnitude : amount
    sum += magnitude
    amount = share
  }
  return amount
}

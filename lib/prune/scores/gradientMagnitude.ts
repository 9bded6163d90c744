import { lastGradient } from '../statistics/lastGradient.js'
import type { Score } from './score.js'

/** |g| of the last batch, at what has fallen too: where a weight would help most, were it there. RigL grows by it. */
export const gradientMagnitude: Score = { name: 'gradientMagnitude', needs: [lastGradient], magnitude: true, norm: 1, of: (_, seen) => seen.of(lastGradient) }

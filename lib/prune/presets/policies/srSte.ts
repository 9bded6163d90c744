import { srSte as refined } from '../../gradients/srSte.js'
import type { PrunerOptions } from '../../pruner.js'
import { redraw } from '../../schedules/redraw.js'
import { l1 } from '../../scores/l1.js'
import { nm } from '../../structures/nm.js'

/** N:M from scratch: masks drawn anew after each step, gradients straight through and refined. Zhou et al. 2021. */
export const srSte = ({ n = 2, m = 4, lambda = 2e-4 }: { n?: number; m?: number; lambda?: number } = {}): PrunerOptions => ({
  score: l1,
  structure: nm(n, m),
  schedule: redraw({ every: 'step' }),
  gradient: refined(lambda),
})
